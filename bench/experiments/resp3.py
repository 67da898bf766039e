"""RESP3 (``HELLO 3``) against RESP2 for the admission: what Redis pays for the reply, and hiredis for reading it."""

from collections.abc import Callable

import hiredis

from arsenal_fast.limiting.client import Client
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.redis.limiter import SCRIPT, packed_rows
from bench.experiments.racing import build, race, show
from bench.experiments.redis_side import measured_redis
from bench.workloads import client

ROWS = 24
COMMANDS = 1000
ROUNDS = 7
VERSIONS = (2, 3)


def commands() -> list[bytes]:
    """Admissions as the service sends them."""
    quota = Quota(100_000_000, 3600)
    clients = [Client(client(number), quota) for number in range(COMMANDS * ROWS)]
    rows = (clients[first : first + ROWS] for first in range(0, len(clients), ROWS))
    return [SCRIPT.command(ROWS, packed_rows(each, [1] * ROWS)) for each in rows]


def reading(reply: bytes) -> Callable[[], object]:
    reader = hiredis.Reader()

    def read() -> object:
        reader.feed(reply)
        return reader.gets()

    return read


def main() -> None:
    packed = commands()
    process: dict[str, list[float]] = {f"RESP{version}": [] for version in VERSIONS}
    replies: dict[str, bytes] = {}
    with measured_redis() as redis:
        redis.send(SCRIPT.load)
        for number in range(ROUNDS + 1):
            for version in VERSIONS:
                redis.ask("HELLO", version)
                figures = redis.measure(packed)
                if number:
                    process[f"RESP{version}"].append(figures.process)
        for version in VERSIONS:
            redis.ask("HELLO", version)
            redis.ask("FLUSHALL")
            redis.send(packed[0])
            replies[f"RESP{version}"] = redis.octets
    print(build(), "hiredis", hiredis.__version__)
    print("the replies to the same command are", "the same octets" if len(set(replies.values())) == 1 else replies)
    show(f"Redis, its whole process, {ROWS} rows a command", process, "us per command")
    race("hiredis, reading that reply: us", {version: reading(reply) for version, reply in replies.items()})


if __name__ == "__main__":
    main()
