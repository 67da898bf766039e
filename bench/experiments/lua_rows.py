"""How a row of the admission's script is told, read, written and replied: what Redis pays for each client.

Every way gives the same backlogs, but for two that are wrong and only show what a part costs. Each differs in one thing
from the first one; ``gcra.lua`` as it is comes last. All have cells of their own: first such as ran out between two
commands (as in most workloads of the benchmark, whose quota has an interval of 36 us), then such as are ahead of now.
At the end some ways meet rows of which each has a quota of its own.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from arsenal_fast.limiting import gcra
from bench.experiments.racing import show
from bench.experiments.redis_side import measured_redis, pack
from bench.servers import UNREACHED_LIMIT
from bench.workloads import client

ROWS = 24
COMMANDS = 200
CELLS = COMMANDS * ROWS
ROUNDS = 15
OTHER_ROW = 7  # a client with a token of its own
GUIDE = {"RATE_LIMIT_REQUESTS": "100", "RATE_LIMIT_WINDOW": "3600"}  # 36 s a hit: no cell runs out between two rounds

SCRIPT: Final = """\
local call, format, find, floor, ceil, min = redis.call, string.format, string.find, math.floor, math.ceil, math.min
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cells = call('MGET', unpack(KEYS))
local struck = {}
local reply = @REPLY@
local revision = cells[1]
reply[1] = 0
if revision and #revision <= 16 and find(revision, '^%d+$') and revision + 0 < 9007199254740992 then
  reply[1] = revision + 0
end
@BEFORE@
for at = 2, #KEYS do
  local key, cell = KEYS[at], cells[at]
  @ROW@
  local tat = @READ@
  local backlog = 0
  @CLAMP@
  if hits > 0 or tat - now > tolerance then
    local ahead = backlog + hits * interval
    @KEEP@
    @WRITE@
  end
  reply[at] = backlog
end
return @RETURN@
"""

AS_IT_WAS: Final = {
    "REPLY": "{}",
    "BEFORE": "",
    "ROW": """local last = 3 * at - 3
  local quantity, interval, tolerance = ARGV[last - 2] + 0, ARGV[last - 1] + 0, ARGV[last] + 0""",
    "READ": "struck[key] or tonumber(cell or 0) or 0",
    "CLAMP": """if tat > now then backlog = min(floor(tat - now), tolerance) end
  local room = tolerance - backlog
  local hits = min(quantity, (room - room % interval) / interval)""",
    "KEEP": "struck[key] = now + ahead",
    "WRITE": "call('SET', key, format('%.0f', struck[key]), 'PX', ceil(ahead / 1000) + 1)",
    "RETURN": "reply",
}

PAIR_BEFORE = """local all_interval, all_tolerance = ARGV[1] + 0, ARGV[2] + 0
"""
LISTED = {  # after the pair, for each exception: its place, quantity, interval, tolerance
    "BEFORE": PAIR_BEFORE + "local place, other = 3, (ARGV[3] or 0) + 0",
    "ROW": """local quantity, interval, tolerance = 1, all_interval, all_tolerance
  if at == other then
    quantity, interval, tolerance = ARGV[place + 1] + 0, ARGV[place + 2] + 0, ARGV[place + 3] + 0
    place = place + 4
    other = (ARGV[place] or 0) + 0
  end""",
}
TEXT = {
    "BEFORE": PAIR_BEFORE
    + """local differing = {}
for place, quantity, interval, tolerance in string.gmatch(ARGV[3], '(%d+) (%d+) (%d+) (%d+)') do
  differing[place + 0] = { quantity + 0, interval + 0, tolerance + 0 }
end""",
    "ROW": """local quantity, interval, tolerance = 1, all_interval, all_tolerance
  local row = differing[at]
  if row then quantity, interval, tolerance = row[1], row[2], row[3] end""",
}
PARSED = {
    "ROW": """local quantity, interval, tolerance = string.match(ARGV[at - 1], '^(%d+) (%d+) (%d+)$')
  quantity, interval, tolerance = quantity + 0, interval + 0, tolerance + 0""",
}
WITHOUT_FUNCTIONS = {
    "READ": "struck[key] or cell and tonumber(cell) or 0",
    "CLAMP": """if tat - now > tolerance then
    backlog = tolerance
  elseif tat > now then
    backlog = tat - now
    backlog = backlog - backlog % 1
  end
  local room = tolerance - backlog
  local hits = (room - room % interval) / interval
  if hits > quantity then hits = quantity end""",
}
REMEMBERED = {
    "BEFORE": "local last_ahead, text, life",
    "WRITE": """if ahead ~= last_ahead then
      last_ahead, text, life = ahead, format('%.0f', now + ahead), format('%.0f', ceil(ahead / 1000) + 1)
    end
    call('SET', key, text, 'PX', life)""",
}


def written(command: str) -> dict[str, str]:
    return {"WRITE": command}


def life(unit: str, text: str) -> dict[str, str]:
    return written(f"call('SET', key, format('%.0f', struck[key]), '{unit}', {text})")


class Way(NamedTuple):
    """``parts`` in place of those as it was; ``arguments`` of the rows, see ``arguments``."""

    parts: Mapping[str, str]
    arguments: str = "three a row"


WAYS: Final[Mapping[str, Way]] = {
    "as it was: three arguments a row": Way({}),
    "one pair for all rows, exceptions listed": Way(LISTED, "listed"),
    "one pair for all rows, exceptions as text": Way(TEXT, "text"),
    "one string a row, parsed": Way(PARSED, "a string a row"),
    "GET for each row": Way({"READ": "tonumber(call('GET', key) or 0) or 0", "KEEP": "struck[key] = now + ahead"}),
    "PSETEX": Way(written("call('PSETEX', key, ceil(ahead / 1000) + 1, format('%.0f', struck[key]))")),
    "PXAT": Way(life("PXAT", "ceil(struck[key] / 1000)")),
    "PXAT, the tat's text without its last three digits": Way(
        written("local text = format('%.0f', struck[key])\n    call('SET', key, text, 'PXAT', string.sub(text, 1, -4))")
    ),
    "whole seconds (EX)": Way(life("EX", "ceil(ahead / 1000000) + 1")),
    "SET with GET, whose reply is no table": Way(
        written("call('SET', key, format('%.0f', struck[key]), 'PX', ceil(ahead / 1000) + 1, 'GET')")
    ),
    "numbers handed to SET": Way(written("call('SET', key, struck[key], 'PX', ceil(ahead / 1000) + 1)")),
    "%d for the tat": Way(written("call('SET', key, format('%d', struck[key]), 'PX', ceil(ahead / 1000) + 1)")),
    "%d for both": Way(
        written("call('SET', key, format('%d', struck[key]), 'PX', format('%d', ceil(ahead / 1000) + 1))")
    ),
    "a tat since 2026-01-01, a digit shorter": Way(
        written("call('SET', key, format('%.0f', struck[key] - 1767225600000000), 'PX', ceil(ahead / 1000) + 1)")
        | {"READ": "struck[key] or (tonumber(cell or 0) or 0) + 1767225600000000"}
    ),
    "texts of the last write kept": Way(REMEMBERED),
    "no floor, min, tonumber where they can be spared": Way(WITHOUT_FUNCTIONS),
    "the reply in the table of the cells": Way({"REPLY": "cells"}),
    "the reply as one string": Way({"RETURN": "table.concat(reply, ' ')"}),
    "(wrong) the same cell in two rows forgotten": Way(
        {"KEEP": "", "READ": "tonumber(cell or 0) or 0"}
        | written("call('SET', key, format('%.0f', now + ahead), 'PX', ceil(ahead / 1000) + 1)")
    ),
    "(wrong) nothing written": Way({"WRITE": ""}),
}
SHIPPED = "gcra.lua as it is"
AT_WORST = ("as it was: three arguments a row", "one pair for all rows, exceptions listed", SHIPPED)

Quota = tuple[int, int]  # interval, tolerance


def quota(limit: Mapping[str, str]) -> Quota:
    requests, window = int(limit["RATE_LIMIT_REQUESTS"]), int(limit["RATE_LIMIT_WINDOW"])
    return window * 1_000_000 // requests, window * 1_000_000


def script(way: str) -> bytes:
    if way == SHIPPED:
        return Path(gcra.__file__).with_name("gcra.lua").read_bytes()
    text = SCRIPT
    for part, lines in (AS_IT_WAS | dict(WAYS[way].parts)).items():
        text = text.replace(f"@{part}@", lines)
    return text.encode()


def arguments(way: str, rows: list[Quota]) -> list[str | int]:
    """ARGV of a command of these rows, one hit each."""
    usual = rows[0]
    others = [(place, 1, *row) for place, row in enumerate(rows, 2) if row != usual]
    match "text" if way == SHIPPED else WAYS[way].arguments:
        case "text":
            return [*usual, " ".join(str(figure) for other in others for figure in other)]
        case "listed":
            return [*usual, *(figure for other in others for figure in other)]
        case "a string a row":
            return [f"1 {interval} {tolerance}" for interval, tolerance in rows]
    return [figure for row in rows for figure in (1, *row)]


def commands(sha: bytes, cells: range, tail: list[str | int], chance: random.Random) -> list[bytes]:
    """Every cell once, grouped by chance: what met in one command has been written at different moments before."""
    keys = [b"af:{0}:c:" + client(cell) for cell in chance.sample(cells, len(cells))]
    each = (keys[first : first + ROWS] for first in range(0, len(keys), ROWS))
    return [pack("EVALSHA", sha, ROWS + 1, "af:{0}:r", *row, *tail) for row in each]


def race(title: str, ways: Sequence[str], rows: list[Quota]) -> None:
    process: dict[str, list[float]] = {way: [] for way in ways}
    scripts: dict[str, list[float]] = {way: [] for way in ways}
    octets: dict[str, int] = {}
    chance = random.Random(1)
    with measured_redis() as redis:
        redis.ask("SET", "af:{0}:r", 1_795_341_600_000_000)
        shas = {way: redis.ask("SCRIPT", "LOAD", script(way)) for way in ways}
        for turn in range(ROUNDS + 1):
            for number, way in enumerate(ways):
                cells = range(number * CELLS, (number + 1) * CELLS)  # no other way has them
                packed = commands(shas[way], cells, arguments(way, rows), chance)
                figures = redis.measure(packed)
                if turn:
                    process[way].append(figures.process / ROWS)
                    scripts[way].append(figures.script / ROWS)
                    octets[way] = len(packed[0])
        version = redis.ask("INFO", "server").decode().partition("redis_version:")[2].splitlines()[0]
    print(f"\n{title}. Redis {version}, {COMMANDS} commands of {ROWS} rows a round; octets a command:")
    print(octets)
    show("Redis, the script alone", scripts, "us per row")
    show("Redis, its whole process (reading the command and writing the reply too)", process, "us per row")


def main() -> None:
    ways = [*WAYS, SHIPPED]
    idle, ahead = quota(UNREACHED_LIMIT), quota(GUIDE)
    other = (3600, 3_600_000_000)
    race("Cells that ran out", ways, [other if row == OTHER_ROW else idle for row in range(ROWS)])
    race("Cells ahead of now", ways, [other if row == OTHER_ROW else ahead for row in range(ROWS)])
    each = [(ahead[0] + row, ahead[1]) for row in range(ROWS)]
    race("Cells ahead of now, each with a quota of its own", AT_WORST, each)


if __name__ == "__main__":
    main()
