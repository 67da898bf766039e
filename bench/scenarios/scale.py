"""Cost of a request and memory by the number of identities and clients.

One server for all sizes, which grows with them; identities are issued beforehand in batches of 1,000. Each request
draws its client and its identity by chance: of the axis *clients* from n clients and 1,000 identities; of the
others from 1,000 clients and n identities, with the guide's hit ratio of 94 % for the first 1,000 of them, or all
alike, which is the hardest: above `IDENTITY_CACHE_SIZE` such a request finds nothing in the worker's
memory and has to ask Redis. Times the floor, measured by turns with it at each size; the figures are the cost
against that of a thousand.
"""

import math
from contextlib import closing
from dataclasses import dataclass, replace

import redis

from bench.load import Load, issue
from bench.processes import read_rss
from bench.results import Figure, Series
from bench.rounds import Running, Watch, warm
from bench.rounds import measure as measure_load
from bench.scripts import RESULT
from bench.servers import lasting
from bench.setting import MEBIBYTE, Findings, Setting, Stand, by_turns, company, noted, ratio, stand
from bench.workloads import FEW_HEADERS, Workload

SIZES = (1_000, 10_000, 100_000, 1_000_000)
FEW = SIZES[0]
GUIDE_HIT_RATIO = 0.94
GUIDE_MEMORY = 256  # MB, the limit of a pod
PREFIX = "scale"


@dataclass(frozen=True)
class Axis:
    """What grows. ``popular``: the share of the requests that goes to the first FEW identities.

    ``at_most``: the cost at the largest size in times that at the smallest.
    """

    name: str
    clients: bool
    identities: bool
    at_most: float
    popular: float = 0.0


AXES = (
    Axis("clients", clients=True, identities=False, at_most=1.12),
    Axis("identities, 94 % of the requests to the first 1,000", False, True, 1.15, GUIDE_HIT_RATIO),
    Axis("identities, all alike", clients=False, identities=True, at_most=1.9),
)

SCRIPT = """\
local at = 0
local function below(n) return @DRAW@ end
function init() math.randomseed(@SEED@) end
function request()
  at = at + 1
  local c, i = below(@CLIENTS@), math.random() < @POPULAR@ and below(@FEW@) or below(@IDENTITIES@)
  return string.format("GET /api/v1/id?prefix=@PREFIX@&run=%d HTTP/1.1\\r\\n" ..
    "@HEADERS@X-Forwarded-For: 10.%d.%d.%d\\r\\n\\r\\n", i, math.floor(c / 65536), math.floor(c / 256) % 256, c % 256)
end
"""


BY_CHANCE, IN_TURN = "math.random(0, n - 1)", "at % n"
WARM_REQUESTS = 150_000  # more than twice IDENTITY_CACHE_SIZE, so that what has to be given up is


def script(axis: Axis, size: int, seed: int, draw: str = BY_CHANCE) -> str:
    words = {
        "DRAW": draw,
        "SEED": seed,
        "CLIENTS": size if axis.clients else FEW,
        "IDENTITIES": size if axis.identities else FEW,
        "FEW": FEW,
        "POPULAR": axis.popular,
        "PREFIX": PREFIX,
        "HEADERS": FEW_HEADERS.decode().replace("\r\n", "\\r\\n"),
    }
    text = SCRIPT
    for name, value in words.items():
        text = text.replace(f"@{name}@", str(value))
    return text + RESULT


def measure(setting: Setting) -> Findings:
    sizes = setting.length(SIZES, SIZES[:2])
    costs: dict[str, list[float]] = {axis.name: [] for axis in AXES}
    figures, resident, stored = [], [], []
    others = 0.0
    with (
        stand(setting, lasting(setting.server), Workload.named("cached-proxy")) as standing,
        closing(redis.Redis(host="127.0.0.1", port=standing.redis_port)) as client,
    ):
        issued = 0
        for size in sizes:
            issue(standing.server.port, [(PREFIX, str(run)) for run in range(issued, size)])
            issued = size
            for axis in AXES:
                cost, crowd = times_the_floor(setting, standing, axis, size)
                costs[axis.name].append(cost)
                others = max(others, crowd)
            resident.append(read_rss(standing.server.pid) / MEBIBYTE)
            stored.append(int(client.info("memory")["used_memory"]) / MEBIBYTE)
    for axis in AXES:
        found = costs[axis.name]
        title = f"{sizes[-1]:,} {axis.name}, against {FEW:,}"
        at = " -> ".join(f"{cost:.2f}" for cost in found)
        figure = Figure(title, found[-1] / found[0], "times", axis.at_most, f"times the floor: {at}")
        figures.append(noted(figure, company(others)))
    for title, values, at_most in (
        ("resident memory, at most", resident, GUIDE_MEMORY),
        ("memory of Redis", stored, None),
    ):
        steps = ", ".join(f"{value:.0f} MB at {size:,}" for value, size in zip(values, sizes, strict=True))
        figures.append(Figure(title, max(values), "MB", at_most, steps))
    lines = [*costs.items(), ("resident memory, MB", resident), ("memory of Redis, MB", stored)]
    return Findings(figures, [Series(name, list(zip(map(float, sizes), line, strict=True))) for name, line in lines])


def times_the_floor(setting: Setting, standing: Stand, axis: Axis, size: int) -> tuple[float, float]:
    """CPU per request of the server in times of the floor's, and the worst share that others had of the core."""
    path = setting.directory / "scale.lua"
    path.write_text(script(replace(axis, popular=0), size, 0, IN_TURN))
    warm(standing.server, path, math.inf, most=min(size, WARM_REQUESTS))

    def load(running: Running) -> tuple[Load, Watch]:
        path.write_text(script(axis, size, next(setting.serials)))
        return measure_load(running, path, 1)

    taken = by_turns((standing.server, standing.floor), setting.length(2, 1), load)
    others = max(watch.others for turns in taken.values() for _, watch in turns)
    return ratio(taken, standing.server.server.name, standing.floor.server.name), others
