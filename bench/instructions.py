"""``python -m bench.instructions``: count the instructions of a request; ``make bench-instructions``.

callgrind counts what the CPU executes, so neither another process nor the clock rate changes the figure: two runs of
one checkout differ by less than 0.2 %. It counts the stages inside the process (``bench/stages.py``), not the kernel,
not Redis and not waiting; those are left to ``bench.gate``, which times whole processes.

Each workload runs twice, with SHORT and with LONG ticks; their difference holds no start and no warming up.
``--against DIRECTORY`` counts another checkout, which must have this module, by the same interpreter; more than LIMIT
above it fails. Exit status: 0 as before, 1 dearer, 2 not judged.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

from bench import BenchError, command
from bench.stages import TICK, Worker
from bench.workloads import WORKLOADS

LIMIT = 0.02
"""How much more than the other checkout a workload may execute; ten times what two runs of one checkout differ by."""

SHORT, LONG = 20, 60  # ticks

TIME_OUT_S = 600
EXIT_DEARER, EXIT_NOT_JUDGED = 1, 2
_COLLECTED = re.compile(r"Collected : (\d+)")


def run_ticks(workload_name: str, ticks: int) -> None:
    """Run the program that callgrind counts."""
    (workload,) = (each for each in WORKLOADS if each.name == workload_name)
    worker = Worker(workload)
    for _ in range(ticks):
        worker.read(worker.next())
        worker.answer()
    if not worker.succeeded():
        raise BenchError(f"a request of {workload_name} did not get a 200")


def executed(checkout: Path, workload_name: str, ticks: int) -> int:
    """Return the instructions of one run in a checkout."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        program = [sys.executable, "-m", "bench.instructions", "--run", workload_name, str(ticks)]
        valgrind = ["valgrind", "--tool=callgrind", f"--log-file={log}", f"--callgrind-out-file={folder}/out"]
        # Equal hashes, so that both checkouts fill their dictionaries alike; no byte code is compiled while counting.
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(checkout)}
        done = subprocess.run(
            [*valgrind, *program],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIME_OUT_S,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{workload_name} in {checkout} failed: {done.stderr.strip().splitlines()[-1:]}")
        return collected(log.read_text())


def collected(log: str) -> int:
    """Return the number of instructions in callgrind's log; raises BenchError where there is none."""
    found = _COLLECTED.search(log)
    if found is None:
        raise BenchError("callgrind did not say how many instructions it counted")
    return int(found[1])


def instructions(checkout: Path, workload_names: Iterable[str]) -> Mapping[str, float]:
    """Return the instructions of one request, by workload."""
    names = list(workload_names)
    executed(checkout, names[0], 0)  # compiles the byte code
    runs = [(name, ticks) for name in names for ticks in (SHORT, LONG)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip(runs, pool.map(lambda run: executed(checkout, *run), runs), strict=True))
    return {name: (counts[name, LONG] - counts[name, SHORT]) / ((LONG - SHORT) * TICK) for name in names}


def report(counts: Mapping[str, float], before: Mapping[str, float] | None) -> tuple[list[str], bool]:
    """Return a line for each workload, and whether one is dearer than before by more than LIMIT."""
    if before is None:
        return [f"{name:<16}{count:>10,.0f}" for name, count in counts.items()], False
    lines = []
    dearer = False
    for name, count in counts.items():
        change = count / before[name] - 1
        dearer |= change > LIMIT
        verdict = "dearer" if change > LIMIT else "as before" if change > -LIMIT else "cheaper"
        lines.append(f"{name:<16}{before[name]:>10,.0f}{count:>10,.0f}{change:>+8.1%}  {verdict}")
    return lines, dearer


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.instructions", description="Count the instructions of a request.")
    parser.add_argument("--against", type=Path, metavar="DIRECTORY", help="another checkout to compare with")
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", choices=[each.name for each in WORKLOADS])
    parser.add_argument("--run", nargs=2, metavar=("WORKLOAD", "TICKS"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.run:
        run_ticks(given.run[0], int(given.run[1]))
        return 0
    if which("valgrind") is None:
        raise BenchError("valgrind is not installed; make bench-instructions installs it")
    names = given.only or [each.name for each in WORKLOADS]
    before = instructions(given.against.resolve(), names) if given.against else None
    lines, dearer = report(instructions(Path.cwd(), names), before)
    print(f"Instructions of a request{', before and now' if before else ''}:")
    print("\n".join(lines))
    return EXIT_DEARER if dearer else 0


if __name__ == "__main__":
    sys.exit(command("bench.instructions", main, EXIT_NOT_JUDGED))
