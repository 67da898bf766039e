"""The part of the mix that wrk offers, at a fixed rate.

wrk is a closed loop: a connection sends when it has its answer. Its ``delay()`` hook is asked before each request
how long that connection is to wait, so the script keeps one schedule for all of them: request number n is due n/rate
seconds after the first. A connection that becomes free takes the next place in the schedule, at once where that is
past. So the rate is kept, and what a stall has held up is sent after it, as long as not all connections are stuck;
then the rate is missed, which the verdict shows. wrk's latencies begin at the sending, not at the due moment, and are
not used.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from bench import BenchError
from loadtest.plan import WRK_CONNECTIONS
from loadtest.requests import PLACE, mix

LUA = """\
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } moment; int clock_gettime(int clock, moment *now);")
local moment, MONOTONIC = ffi.new("moment"), 1
local records, kinds, size, at, serial, due = {}, {}, 0, 0, 0, nil
counted = {}  -- global: read by done() from outside of the thread
local workers = {}

local function now()  -- milliseconds
  ffi.C.clock_gettime(MONOTONIC, moment)
  return tonumber(moment.seconds) * 1e3 + tonumber(moment.nanoseconds) / 1e6
end
function setup(thread)
  table.insert(workers, thread)
end
function init()
  local file = assert(io.open("@RECORDS@", "rb"))
  for kind, record in file:read("*a"):gmatch("(%a+) ([^%z]+)%z") do
    size = size + 1
    kinds[size], records[size] = kind, record
  end
  file:close()
end
function delay()
  due = due and due + 1000 / @RATE@ or now()
  return math.max(0, due - now())
end
function request()
  at = at % size + 1
  serial = serial + 1
  counted[kinds[at]] = (counted[kinds[at]] or 0) + 1
  return (records[at]:gsub("@PLACE@", string.format("%06d", serial)))
end
function done(summary)
  local e, sent = summary.errors, workers[1]:get("counted")
  local parts = {}
  for kind, count in pairs(sent) do
    table.insert(parts, string.format('"%s": %d', kind, count))
  end
  io.write(string.format('result {"sent": {%s}, "duration_us": %d, "not_2xx": %d, "broken": %d}\\n',
    table.concat(parts, ", "), summary.duration, e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def write_script(rates: Mapping[str, float], suffix: str, directory: Path) -> Path:
    """Write the records and the script that offers ``rates`` (requests per second by kind)."""
    records = directory / "filler.records"
    records.write_bytes(b"".join(kind.encode() + b" " + record + b"\0" for kind, record in mix(rates, suffix)))
    text = LUA.replace("@RECORDS@", str(records.resolve())).replace("@PLACE@", PLACE)
    script = directory / "filler.lua"
    script.write_text(text.replace("@RATE@", repr(sum(rates.values()))))
    return script


def command(port: int, script: Path, seconds: float) -> list[str]:
    return ["wrk", "-t1", f"-c{WRK_CONNECTIONS}", f"-d{seconds:.0f}s", "-s", str(script), f"http://127.0.0.1:{port}/"]


def parse_result(output: str) -> tuple[dict[str, float], int]:
    """What wrk sent, as requests per second by kind, and how many went wrong. Raises BenchError without a result."""
    for line in output.splitlines():
        if line.startswith("result "):
            result = json.loads(line.removeprefix("result "))
            seconds = result["duration_us"] / 1e6
            sent = {kind: count / seconds for kind, count in result["sent"].items()}
            return sent, result["not_2xx"] + result["broken"]
    raise BenchError(f"wrk gave no result; it said: {output.strip()[-400:]}")
