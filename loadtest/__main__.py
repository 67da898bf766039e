"""``python -m loadtest``: one run, its table, its report. Exit code: 0 passed, 1 failed, 3 load-bound, 2 no run."""

import signal
import sys
from types import FrameType

from bench import BenchError
from loadtest.plan import parse_arguments
from loadtest.report import write
from loadtest.run import measure
from loadtest.verdict import as_text, overall, rows

EXIT_NO_RUN = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def terminate(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(EXIT_TERMINATED)  # unwinds, so that every process is stopped


def main() -> int:
    signal.signal(signal.SIGTERM, terminate)
    plan = parse_arguments()
    try:
        run, history = measure(plan)
    except BenchError as fault:
        print(f"loadtest: {fault}", file=sys.stderr)
        return EXIT_NO_RUN
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    table = rows(plan, run)
    path = write(plan, run, history, table)
    print(f"\n{as_text(table, run)}\nreport: {path}")
    for words in run.faults:
        print(f"failed: {words}")
    return overall(table).value


if __name__ == "__main__":
    sys.exit(main())
