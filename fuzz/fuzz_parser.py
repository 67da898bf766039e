"""Random and mutated streams against the promises of ``http.parser``.

    python -m fuzz.fuzz_parser --seconds 10 --seed 1

The promises: nothing but ``MessageError`` is raised, once, with a status that the parser may answer; any cut of the
stream gives the same requests, the same status and the same state; what is held stays within the limits; after a
fault, or a request that ends the connection, nothing more comes. The exit status is 1 when one is broken, and the
stream that breaks it is printed.
"""

import argparse
import random
import sys
import time
from typing import Final

from arsenal_fast.errors import MessageError
from arsenal_fast.http.parser import Limits, RequestParser
from arsenal_fast.http.request import Request

STATUSES: Final = frozenset((400, 413, 414, 417, 431, 501, 505))

SEEDS: Final = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /api/v1/id?prefix=player&run=1 HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    b"POST /v HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: application/json\r\n\r\nhello",
    b"POST /v HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;a=b\r\nde\r\n0\r\nn: v\r\n\r\n",
    b"POST /v HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nxy",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://b.example/p?q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nOrigin: http://a\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
)
FRAGMENTS: Final = (
    *(bytes([octet]) for octet in range(256)),
    *(b"\r\n", b"\r\n\r\n", b"\n\n", b"\r\n ", b" :", b"HTTP/1.0", b"HTTP/2.0", b"0\r\n\r\n", b"1\r\nx\r\n", b';a="b"'),
    *(b"GET ", b"get ", b"/", b"*", b"a" * 50, b"n: v\r\n" * 6, b"Host: b\r\n", b"Content-Length: 5\r\n"),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n"),
    *(b"Expect: 100-continue\r\n", b"Content-Length: 99999999999999999999\r\n", b"ffffffffffffffff\r\n"),
)
# Small ones, so that streams of a few hundred octets reach every bound.
LIMITS: Final = (
    Limits(),
    Limits(target=24, head=100, fields=5, body=16, chunk_line=12, chunk_extensions=8, trailer=20),
)

Facts = tuple[tuple[tuple[object, ...], ...], int | None, bool, bool, bool]


class BrokenPromiseError(Exception):
    """What the parser did and must not."""


def facts_of(request: Request) -> tuple[object, ...]:
    fields = tuple(getattr(request.fields, name) for name in type(request.fields).__slots__)
    return (*(getattr(request, name) for name in type(request).__slots__ if name != "fields"), *fields)


def held(parser: RequestParser) -> int:
    return len(parser._data) - parser._position


def run(parts: list[bytes], limits: Limits) -> Facts:
    """The outcome of a stream in these parts; raises ``BrokenPromiseError``."""
    parser = RequestParser(limits)
    # A method, a target and a version, then the fields; a body is not held in the buffer.
    bound = 32 + limits.target + 16 + limits.head
    requests: list[tuple[object, ...]] = []
    status = None
    for part in parts:
        ended = parser.ended
        parser.feed(part)
        try:
            while (request := parser.next_request()) is not None:
                if ended:
                    raise BrokenPromiseError("a request came behind the end")
                if len(request.body) > limits.body:
                    raise BrokenPromiseError("a body is over its limit")
                requests.append(facts_of(request))
        except MessageError as error:
            if status is not None or ended:
                raise BrokenPromiseError("an error came behind the end") from error
            if error.status not in STATUSES:
                raise BrokenPromiseError(f"the status {error.status} is none of a parser") from error
            status = error.status
        if held(parser) > bound:
            raise BrokenPromiseError(f"{held(parser)} octets of a message are held")
        if parser.ended and not parser.idle:
            raise BrokenPromiseError("it is not idle behind the end")
    return tuple(requests), status, parser.idle, parser.in_body, parser.ended


def make_stream(rng: random.Random) -> bytes:
    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(200))
    if rng.random() < 0.3:
        # One client over and over, with other digits each time: the way through templates.
        seed = rng.choice(SEEDS)
        copies = (seed.replace(b"a:80", b"a:%d" % rng.randrange(80, 82)) for _ in range(rng.randint(3, 7)))
        stream = bytearray(b"".join(c.replace(b"1.2.3.4", b"%d" % rng.randrange(99)) for c in copies))
    else:
        stream = bytearray(b"".join(rng.choices(SEEDS, k=rng.randint(1, 3))))
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(stream) + 1)
        match rng.randrange(4):
            case 0:
                stream[at:at] = rng.choice(FRAGMENTS)
            case 1:
                del stream[at : at + rng.randint(1, 4)]
            case 2:
                stream[at : at + 1] = rng.choice(FRAGMENTS)
            case _:
                start = rng.randrange(len(stream) + 1)
                stream[at:at] = stream[start : start + rng.randint(1, 40)]
    return bytes(stream)


def make_cuts(rng: random.Random, stream: bytes) -> list[bytes]:
    if rng.random() < 0.3:
        return [stream[i : i + 1] for i in range(len(stream))]
    places = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randint(1, 6)))
    return [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]


def check(stream: bytes, parts: list[bytes], limits: Limits) -> None:
    whole, in_parts = run([stream], limits), run(parts, limits)
    if whole != in_parts:
        raise BrokenPromiseError(f"cuts change the outcome: whole {whole}, in parts {in_parts}")


def main() -> int:
    arguments = argparse.ArgumentParser(description="Fuzz the request parser.")
    arguments.add_argument("--seconds", type=float, default=10.0)
    arguments.add_argument("--seed", type=int, default=None)
    options = arguments.parse_args()
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000_007
    rng = random.Random(seed)  # noqa: S311 - it has to be repeatable, not secret
    end = time.monotonic() + options.seconds
    streams = refused = 0
    while time.monotonic() < end:
        stream = make_stream(rng)
        parts = make_cuts(rng, stream)
        limits = rng.choice(LIMITS)
        try:
            check(stream, parts, limits)
            refused += run([stream], limits)[1] is not None
        except Exception as error:
            print(f"seed {seed}, stream {streams}: {error!r}\nlimits {limits}\nparts {parts!r}", file=sys.stderr)
            return 1
        streams += 1
    print(f"seed {seed}: {streams} streams, {refused} of them refused, no promise broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
