"""The hot path on several interpreters: ``python -m bench.experiments.interpreters PYTHON...``

Each must have the service's dependencies. In turn, several rounds, a process each time; the first is what the others
are compared with. No socket is touched (``hot_path``), so what differs is the interpreter and its libraries.
"""

import json
import subprocess
import sys

from bench.experiments.racing import show

ROUNDS = 2


def main(interpreters: list[str]) -> None:
    figures: dict[str, dict[str, list[float]]] = {}
    for _ in range(ROUNDS):
        for interpreter in interpreters:
            command = [interpreter, "-m", "bench.experiments.hot_path"]
            said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            for workload, us in said["us"].items():
                figures.setdefault(workload, {}).setdefault(said["build"], []).append(us)
    for workload, samples in figures.items():
        show(f"{workload}: CPU us per request, no sockets", samples, "us")


if __name__ == "__main__":
    main(sys.argv[1:] or [sys.executable])
