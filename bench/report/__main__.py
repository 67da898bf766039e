"""``python -m bench.report [RESULT.json]``: write the pages and their pictures from a result, by default the newest."""

import sys
from pathlib import Path

from bench import BenchError
from bench.report import details, page
from bench.report.plots import draw_all
from bench.results import newest, newest_elsewhere, read

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs/perf"


def main() -> int:
    """Exit status 1 where there is no result to read."""
    try:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else newest()
        results = read(path)
        other = newest_elsewhere(results.machine["CPU"])
        elsewhere = None if other is None else read(other)
        drawn = draw_all(results, PICTURES)
        pictures = {name: (PICTURES / file).relative_to(ROOT).as_posix() for name, file in drawn.items()}
        (ROOT / page.FILE).write_text(page.render(results, path.name, pictures, elsewhere))
        (ROOT / details.FILE).write_text(details.render(results, path.name))
    except (BenchError, OSError) as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    print(f"{page.FILE}, {details.FILE} and {len(drawn)} pictures written from {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
