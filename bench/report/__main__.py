"""``python -m bench.report [RESULT.json]``: PERF.md and docs/perf/ from a result, the newest by default."""

import sys
from pathlib import Path

from bench import BenchError
from bench.proof import read_proof
from bench.report.page import Surroundings, render
from bench.report.plots import draw_all
from bench.results import kept, newest, read

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "PERF.md"
PICTURES = ROOT / "docs/perf"
EXPERIMENTS = "bench/experiments/README.md"


def main() -> int:
    try:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
        results = read(path)
        drawn = draw_all(results, [read(one) for one in kept()], PICTURES)
        pictures = {name: (PICTURES / file).relative_to(ROOT).as_posix() for name, file in drawn.items()}
        experiments = EXPERIMENTS if (ROOT / EXPERIMENTS).exists() else None
        OUTPUT.write_text(render(results, Surroundings(path.name, pictures, experiments, read_proof())))
    except (BenchError, OSError) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    print(f"PERF.md and {len(drawn)} pictures written from {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
