"""How wide a row of the admission's script is: what Redis pays for the arguments of each client.

Three ways to tell a row's quantity, emission interval and tolerance; the arithmetic is the same, that of gcra.lua, and
so are the keys. All clients but one in a command have the same quota and one hit, as nearly always. The cells are warm.
"""

from bench.experiments.racing import show
from bench.experiments.redis_side import MeasuredRedis, measured_redis, pack
from bench.workloads import CLIENTS, client

ROWS = 24
COMMANDS = 1000
ROUNDS = 7
INTERVAL, TOLERANCE = 36, 3_600_000_000
OTHER = (1, 3600, 3_600_000_000)  # a client with a token of its own
OTHER_ROW = 7

SCRIPT = """\
local call, format, find, floor, ceil, min = redis.call, string.format, string.find, math.floor, math.ceil, math.min
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cells = call('MGET', unpack(KEYS))
local struck, reply = {}, { 0 }
@BEFORE@
for at = 2, #KEYS do
  local key = KEYS[at]
  @ROW@
  local tat = struck[key] or tonumber(cells[at] or 0) or 0
  local backlog = 0
  if tat > now then backlog = min(floor(tat - now), tolerance) end
  local room = tolerance - backlog
  local hits = min(quantity, (room - room % interval) / interval)
  if hits > 0 or tat - now > tolerance then
    local ahead = backlog + hits * interval
    struck[key] = now + ahead
    call('SET', key, format('%.0f', struck[key]), 'PX', ceil(ahead / 1000) + 1)
  end
  reply[at] = backlog
end
return reply
"""

THREE = """local last = 3 * at - 3
  local quantity, interval, tolerance = ARGV[last - 2] + 0, ARGV[last - 1] + 0, ARGV[last] + 0"""
PARSED = """local quantity, interval, tolerance = string.match(ARGV[at - 1], '^(%d+) (%d+) (%d+)$')
  quantity, interval, tolerance = quantity + 0, interval + 0, tolerance + 0"""
# ARGV: the pair of all rows, then for each exception its row, quantity, interval, tolerance.
BEFORE = """local all_interval, all_tolerance = ARGV[1] + 0, ARGV[2] + 0
local place, other = 3, (ARGV[3] or 0) + 0"""
PAIR = """local quantity, interval, tolerance = 1, all_interval, all_tolerance
  if at == other then
    quantity, interval, tolerance = ARGV[place + 1] + 0, ARGV[place + 2] + 0, ARGV[place + 3] + 0
    place = place + 4
    other = (ARGV[place] or 0) + 0
  end"""

WAYS = {
    "three arguments a row": ("", THREE),
    "one pair for all rows, exceptions listed": (BEFORE, PAIR),
    "one string a row, parsed": ("", PARSED),
}


def arguments(way: str) -> list[str | int]:
    """ARGV of a command in which one row is another one."""
    rows = [OTHER if row == OTHER_ROW else (1, INTERVAL, TOLERANCE) for row in range(ROWS)]
    if way == "one pair for all rows, exceptions listed":
        return [INTERVAL, TOLERANCE, OTHER_ROW + 2, *OTHER]
    if way == "one string a row, parsed":
        return [f"{quantity} {interval} {tolerance}" for quantity, interval, tolerance in rows]
    return [figure for row in rows for figure in row]


def commands(redis: MeasuredRedis, way: str) -> list[bytes]:
    before, row = WAYS[way]
    sha = redis.ask("SCRIPT", "LOAD", SCRIPT.replace("@BEFORE@", before).replace("@ROW@", row))
    tail = arguments(way)
    packed = []
    for first in range(0, COMMANDS * ROWS, ROWS):
        keys = [b"af:{0}:c:" + client((first + row) % CLIENTS) for row in range(ROWS)]
        packed.append(pack("EVALSHA", sha, ROWS + 1, "af:{0}:r", *keys, *tail))
    return packed


def main() -> None:
    with measured_redis() as redis:
        packed = {way: commands(redis, way) for way in WAYS}
        process: dict[str, list[float]] = {way: [] for way in WAYS}
        script: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(ROUNDS + 1):
            for way in WAYS:
                figures = redis.measure(packed[way])
                if number:
                    process[way].append(figures.process / ROWS)
                    script[way].append(figures.script / ROWS)
        version = redis.ask("INFO", "server").decode().partition("redis_version:")[2].splitlines()[0]
    print(f"Redis {version}, {COMMANDS} commands of {ROWS} rows a round; octets a command:")
    print({way: len(packed[way][0]) for way in WAYS})
    show("Redis, the script alone", script, "us per row")
    show("Redis, its whole process (reading the command and writing the reply too)", process, "us per row")


if __name__ == "__main__":
    main()
