"""How a request is recognised: its header block compared with the connection's last one, matched, or parsed.

Octets of real clients (``bench.workloads``): a direct client repeats its block, a proxy changes one value in it, an
ingress three. Each contender ends with what the short way needs, the request line and the holes.
"""

import re
from collections.abc import Callable
from itertools import count

from arsenal_fast.http.grammar import METHOD_AND_TARGET
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.shape import Shape, Shapes
from bench.experiments.racing import build, race
from bench.workloads import SERIAL, WORKLOADS

MESSAGES = 1000
CLIENTS = {"direct": "cached-direct", "proxy": "cached-proxy", "ingress": "cached-ingress"}


def messages(workload: str) -> list[bytes]:
    """The first requests of a workload as wrk would send them."""
    chosen = next(each for each in WORKLOADS if each.name == workload)
    serial = count(1)
    return [
        record.replace(SERIAL, (chosen.serial_format % next(serial)).encode())
        for record in chosen.records("")[:MESSAGES]
    ]


def shape_of(octets: bytes) -> Shape:
    """The shape that a connection would have after this request."""
    parser = RequestParser(Limits())
    parser.feed(octets)
    request = parser.next_request()
    assert request is not None
    shape = Shapes(Limits(), worthwhile=1).of(request)
    assert shape is not None
    return shape


def parsing(requests: list[bytes], *, remembering: bool) -> Callable[[], None]:
    """The parser; without memory every block is proven and read, as on a connection's first request."""
    parser = RequestParser(Limits())

    def parse() -> None:
        for data in requests:
            if not remembering:
                parser._fields = None
            parser.feed(data)
            assert parser.next_request() is not None

    return parse


def matching(requests: list[bytes], match: Callable[[bytes], object]) -> Callable[[], None]:
    def run() -> None:
        for data in requests:
            assert match(data) is not None

    return run


def comparing(requests: list[bytes], fixed: bytes, cut: int) -> Callable[[], None]:
    def run() -> None:
        for data in requests:
            assert data.endswith(fixed)
            assert data[:cut]

    return run


def main() -> None:
    print(build())
    for client, workload in CLIENTS.items():
        requests = messages(workload)
        shape = shape_of(requests[0])
        contenders = {}
        if shape.fixed is not None:
            pattern = rb"((" + METHOD_AND_TARGET + rb") HTTP/1\.1)" + re.escape(shape.fixed)
            contenders["compare the block"] = comparing(requests, shape.fixed, shape.cut)
            contenders["one pattern over the message"] = matching(requests, re.compile(pattern).fullmatch)
        else:
            contenders["one pattern over the message (Shape.match)"] = matching(requests, shape.match)
        contenders["parser with memory of the last block"] = parsing(requests, remembering=True)
        contenders["parser, block proven and read each time"] = parsing(requests, remembering=False)
        race(f"{client}: us per request", contenders, per=len(requests))


if __name__ == "__main__":
    main()
