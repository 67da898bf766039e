"""Lua scripts for wrk: they send the records of a workload in turn and print the result as one line."""

import re
from pathlib import Path
from typing import Any

from bench.openloop import QUANTILES, Stream
from bench.workloads import Workload

REPLAY = """\
local first, second, third, size, at, serial = {}, {}, {}, 0, 0, @SERIAL@
function init()
  local file = assert(io.open("@RECORDS@", "rb"))
  for record in file:read("*a"):gmatch("([^%z]+)%z") do
    size = size + 1
    first[size], second[size], third[size] = record:match("^([^\\1]*)\\1?([^\\1]*)\\1?([^\\1]*)$")
  end
  file:close()
end
function request()
  at = at % size + 1
  if second[at] == "" then return first[at] end
  serial = serial + 1
  local number = string.format("@FORMAT@", serial)
  return first[at] .. number .. second[at] .. (third[at] ~= "" and number .. third[at] or "")
end
"""

RESULT = """\
function done(summary, latency)
  local e, found = summary.errors, {}
  for i, quantile in ipairs({@QUANTILES@}) do
    found[i] = string.format("[%g, %d]", quantile, latency:percentile(quantile))
  end
  io.write(string.format(
    'result {"requests": %d, "duration_us": %d, "quantiles_us": [%s], "not_2xx": %d, "broken": %d}\\n',
    summary.requests, summary.duration, table.concat(found, ", "), e.status,
    e.connect + e.read + e.write + e.timeout))
end
""".replace("@QUANTILES@", ", ".join(f"{quantile:g}" for quantile in QUANTILES if quantile < 100))


def write_records(records: list[bytes], path: Path) -> None:
    """One after the other, each ended by a NUL; ``openloop.py`` reads the same form."""
    path.write_bytes(b"".join(record + b"\0" for record in records))


def write_stream(name: str, records: list[bytes], directory: Path, **words: Any) -> Stream:
    """Write the records; give the stream of the open-loop generator that sends them."""
    path = directory / f"{name}.stream"
    write_records(records, path)
    return Stream(name, str(path), **words)


def write_script(workload: Workload, suffix: str, directory: Path, serial: int) -> Path:
    """Write the wrk script that sends the workload's records in turn; numbers begin above ``serial``.

    A record has its number at one place or at two, and something behind it.

    The records are made and written once for each directory: that takes as long as a short measurement.
    """
    path = directory / f"{workload.name}{re.sub(r'[^a-z0-9.]', '-', suffix)}.records"
    if not path.exists():
        write_records(workload.records(suffix), path)
    words = {"FORMAT": workload.serial_format, "SERIAL": str(serial), "RECORDS": str(path)}
    text = REPLAY
    for name, word in words.items():
        text = text.replace(f"@{name}@", word)
    script = directory / f"{workload.name}.lua"
    script.write_text(text + RESULT)
    return script
