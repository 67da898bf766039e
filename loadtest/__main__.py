"""``python -m loadtest``: one run, its table and its report. Exit code: 0 passed, 1 failed, 2 no run, 3 load-bound."""

import sys

from bench import command
from loadtest.plan import parse_arguments
from loadtest.report import write
from loadtest.run import measure
from loadtest.verdict import as_text, overall, rows

EXIT_NO_RUN = 2


def main() -> int:
    """Measure, print the verdict, write the report."""
    plan = parse_arguments()
    run, history = measure(plan)
    table = rows(plan, run)
    path = write(plan, run, history, table)
    print(f"\n{as_text(table, run)}\nreport: {path}")
    for words in run.faults:
        print(f"failed: {words}")
    return overall(table).value


if __name__ == "__main__":
    sys.exit(command("loadtest", main, EXIT_NO_RUN))
