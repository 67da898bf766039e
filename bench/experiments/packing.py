"""How the admission's command is packed: from prepared bulks, or by a client library from its arguments.

24 rows of known clients, one hit each: ``EVALSHA sha 25 revision keys... arguments...``. hiredis and redis-py are given
the arguments as they would stand in a program (str and int).
"""

from typing import Any

import hiredis
from redis._parsers import Encoder
from redis.connection import PythonRespSerializer

from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.redis.limiter import SCRIPT, packed_rows
from bench.experiments.racing import build, race
from bench.experiments.redis_side import pack
from bench.workloads import client

ROWS = 24
QUOTA = Quota(100, 3600)
CLIENTS = [Client(client(number), QUOTA) for number in range(ROWS)]
ONES = [1] * ROWS


def split(command: bytes) -> tuple[str | int, ...]:
    """The arguments of a packed command, for the libraries to pack again."""
    words = command.split(b"\r\n")[2::2]
    return tuple(int(word) if word.isdigit() else word.decode() for word in words)


def main() -> None:
    ours = SCRIPT.command(ROWS, packed_rows(CLIENTS, ONES))
    arguments = split(ours)
    encoder = Encoder("utf-8", "strict", False)  # type: ignore[no-untyped-call]
    python: Any = PythonRespSerializer(6000, encoder.encode)
    assert pack(*arguments) == ours == b"".join(python.pack(*arguments))
    contenders = {
        "ours: prepared bulks, one join": lambda: SCRIPT.command(ROWS, packed_rows(CLIENTS, ONES)),
        "hiredis.pack_command": lambda: pack(*arguments),
        "hiredis.pack_command, arguments gathered": lambda: pack(
            "EVALSHA", SCRIPT.sha, ROWS + 1, "af:{0}:r", *("af:{0}:c:" + each.key for each in CLIENTS), *tail()
        ),
        "redis-py in Python": lambda: b"".join(python.pack(*arguments)),
    }
    print(build(), "hiredis", hiredis.__version__, f"{len(ours)} octets")
    race(f"us per command of {ROWS} rows", contenders)


def tail() -> list[str | int]:
    """Interval and tolerance of all rows, and no row that differs."""
    return [QUOTA.interval, QUOTA.tolerance, ""]


if __name__ == "__main__":
    main()
