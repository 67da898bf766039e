"""The hot path on several interpreters: ``python -m bench.experiments.interpreters PYTHON...``

Each must have the service's dependencies. In turn, several rounds, a process each time; the first is what the others
are compared with. No socket is touched (``bytecode``, ``hot_path``), so what differs is the interpreter.
"""

import json
import subprocess
import sys

from bench.experiments.racing import show

ROUNDS = 2
MODULES = ("bench.experiments.bytecode", "bench.experiments.hot_path")


def main(interpreters: list[str]) -> None:
    figures: dict[str, dict[str, list[float]]] = {}
    for _ in range(ROUNDS):
        for interpreter in interpreters:
            for module in MODULES:
                command = [interpreter, "-m", module]
                said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                for what, us in said["us"].items():
                    figures.setdefault(what, {}).setdefault(said["build"], []).append(us)
    for what, samples in figures.items():
        show(f"{what}: CPU us, no sockets", samples, "us")


if __name__ == "__main__":
    main(sys.argv[1:] or [sys.executable])
