"""A memo of batches by their body, against looking the ten rows up each time.

It may hold the rendered rows, or (as the service has it) the pieces of the answer, most of which the records hold
anyway. Rendered rows hold while nothing was revoked and none of them is due for renewal; a hit needs no JSON and no
look-up, only the frame with its time. Pieces hold while all of their records do. Measured without sockets, limiter and
parser: the handler alone, 5,000 different bodies.
"""

import sys
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple, cast

from arsenal_fast.http.limits import Limits
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.request import Request
from arsenal_fast.http.responses import JSON, tail
from arsenal_fast.identity.life import timestamp
from arsenal_fast.service.exchange import Exchange
from arsenal_fast.service.handlers.identities import issue_batch
from arsenal_fast.service.records import stamp
from bench.experiments.hot_path import DOMAIN, Worker, requests_of
from bench.experiments.racing import build, race
from bench.workloads import BATCH, WORKLOADS, cached_direct

BODIES = 5_000
FRAME = b'{"identities":%b,"total":%d,"domain":"%b","version":"v1","ttl":3600,"generated":"%b"}'


class Rows(NamedTuple):
    """What a body was answered with, but for its end."""

    rows: bytes
    forgotten: int
    fresh_until: float


class Asked:
    """An exchange that keeps the last answer."""

    answer = b""

    def __init__(self, request: Request) -> None:
        self.request = request

    def guard(self, done: Callable[..., None]) -> Callable[..., None]:
        return done

    def respond(self, _status: int, tail: bytes) -> None:
        self.answer = tail


def parsed(octets: bytes) -> Asked:
    parser = RequestParser(Limits())
    parser.feed(octets)
    request = parser.next_request()
    assert request is not None
    return Asked(request)


def main() -> None:
    worker = Worker()
    worker.serve(cached_direct("") * 2)  # every identity is there, and was asked for again
    service, remembered = worker.service, worker.service.directory.remembered
    workload = next(each for each in WORKLOADS if each.name == "batch-10")
    asked = [parsed(octets) for octets in requests_of(workload, BODIES, count(1))]
    memo: dict[bytes, Rows] = {}

    def look_up(exchanges: Sequence[Asked] = asked) -> None:
        for exchange in exchanges:
            issue_batch(service, cast(Exchange, exchange))

    def remember() -> None:
        for exchange in asked:
            body = exchange.request.body
            known = memo.get(body)
            now = service.now()
            if known is None or known.forgotten != remembered.forgotten or known.fresh_until <= now:
                look_up((exchange,))
                rows = exchange.answer[exchange.answer.index(b"[") : exchange.answer.rindex(b"]") + 1]
                memo[body] = Rows(rows, remembered.forgotten, now + 2700)  # three quarters of the TTL
            else:
                moment = timestamp(int(now * 1000)).encode("ascii")
                answer = FRAME % (known.rows, BATCH, DOMAIN.encode("ascii"), moment)
                exchange.respond(200, tail(JSON, answer, b"Cache-Control: no-store\r\n"))

    pieces = service.batches

    def join() -> None:
        for exchange in asked:
            batch, now = pieces.get(exchange.request.body), service.now()
            assert batch is not None
            assert batch.fresh_until > now
            exchange.respond(200, batch.unstamped + stamp(now))

    look_up()
    look_up()  # seen, and then kept
    remember()
    remember()
    expected: Any = asked[0].answer
    look_up()
    assert expected[:-30] == asked[0].answer[:-30], "the memo answers as the handler does, but for the moment"
    join()
    assert expected[:-30] == asked[0].answer[:-30]
    print(build())
    contenders = {"ten look-ups": look_up, "memo of bodies": remember, "memo of pieces": join}
    race("us per batch of 10, the handler alone", contenders, per=BODIES)
    held = sum(sys.getsizeof(body) + sys.getsizeof(known) + sys.getsizeof(known.rows) for body, known in memo.items())
    print(f"\nthe memo of bodies holds {held / len(memo):.0f} octets a body", end="; ")
    shared = {id(record.row) for batch in pieces.values() for record in batch.records}
    held = sum(
        sys.getsizeof(batch) + sum(sys.getsizeof(piece) for piece in batch._pieces if id(piece) not in shared)
        for batch in pieces.values()
    )
    print(f"that of pieces {held / len(pieces):.0f} and the body; the records are held anyway")


if __name__ == "__main__":
    main()
