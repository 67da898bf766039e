"""The workloads: requests to a server, as data; ``scripts`` renders them for wrk.

A workload is a list of *records*: complete requests as bytes, built here once and read by wrk from a file,
so that the generator only picks the next one. ``SERIAL`` in a record stands for a number that no other
request of the run has. All workloads run over 64 keep-alive connections without pipelining.
"""

import functools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from bench.openloop import SERIAL

IDENTITIES = 5_000
CLIENTS = 50_000
BATCH = 10
GUIDE_RATES = (1500, 200, 2000)  # requests a second: single identities, batches, validations
NEW_SHARE = 0.06  # of the identities
LONG_SERIAL = "%015d"  # of a fixed length
PREFIXES = ("player", "bot", "web", "ci", "tg")
USER_AGENT = b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
FEW_HEADERS = b"Host: 127.0.0.1\r\nUser-Agent: " + USER_AGENT + b"\r\nAccept: application/json\r\n"

Records = Callable[[str], list[bytes]]  # takes what follows "prefix-run" in an identity: "@domain/version:id"


@dataclass(frozen=True)
class Workload:
    """``serial_format``: of its numbers."""

    name: str
    title: str
    records: Records
    serial_format: str = "%d"

    @staticmethod
    def named(name: str) -> "Workload":
        """The row of that name. Raises StopIteration when there is none."""
        return next(workload for workload in WORKLOADS if workload.name == name)

    def sample(self, suffix: str, serial: int) -> bytes:
        """One request as wrk would send it."""
        return self.numbered(self.records(suffix)[0], serial)

    def numbered(self, record: bytes, serial: int) -> bytes:
        """The record with its number, where it has one."""
        return record.replace(SERIAL, (self.serial_format % serial).encode())


def pair(index: int) -> tuple[str, str]:
    """The (prefix, run) number ``index`` of the identities that exist before anything is measured."""
    return PREFIXES[index % len(PREFIXES)], str(100_000 + index)


def client(index: int) -> bytes:
    """An address of the range that is set apart for benchmarks (RFC 2544: 198.18.0.0/15)."""
    return b"198.%d.%d.%d" % (18 + (index >> 16), index >> 8 & 255, index & 255)


def get_id(index: int) -> bytes:
    prefix, run = pair(index)
    return f"GET /api/v1/id?prefix={prefix}&run={run} HTTP/1.1\r\n".encode()


@functools.cache
def visits() -> list[tuple[bytes, int]]:
    """Every client once, in an order without locality, each with one identity."""
    chance = random.Random(1)
    order = chance.sample(range(CLIENTS), CLIENTS)
    return [(client(number), chance.randrange(IDENTITIES)) for number in order]


def proxied(address: bytes) -> bytes:
    return FEW_HEADERS + b"X-Forwarded-For: " + address + b"\r\n"


def post(target: str, address: bytes, document: object) -> bytes:
    body = json.dumps(document, separators=(",", ":")).encode()
    head = b"POST %b HTTP/1.1\r\n%bContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (target.encode(), proxied(address), len(body)) + body


def cached_direct(_suffix: str) -> list[bytes]:
    order = random.Random(1).sample(range(IDENTITIES), IDENTITIES)
    return [get_id(index) + FEW_HEADERS + b"\r\n" for index in order]


def cached_proxy(_suffix: str) -> list[bytes]:
    return [get_id(index) + proxied(address) + b"\r\n" for address, index in visits()]


def cached_ingress(_suffix: str) -> list[bytes]:
    """The header section of ingress-nginx: twelve fields, two of them never the same."""
    fields = (
        b"Host: identity.example.com",
        b"X-Request-ID: 5f3c9a1e77b04d2c" + SERIAL,
        b"X-Real-IP: %b",
        b"X-Forwarded-For: %b",
        b"X-Forwarded-Host: identity.example.com",
        b"X-Forwarded-Port: 443",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Scheme: https",
        b"X-Scheme: https",
        b"User-Agent: " + USER_AGENT,
        b"Accept: application/json",
        b"traceparent: 00-4bf92f3577b34da6" + SERIAL + b"-00f067aa0ba902b7-01",
    )
    head = b"\r\n".join(fields) + b"\r\n\r\n"
    return [get_id(index) + head % (address, address) for address, index in visits()]


def issuing(_suffix: str) -> list[bytes]:
    line = b"GET /api/v1/id?prefix=player&run=9" + SERIAL + b" HTTP/1.1\r\n"
    return [line + proxied(address) + b"\r\n" for address, _ in visits()]


def validate(suffix: str) -> list[bytes]:
    return [
        post("/api/v1/validate", address, {"identity": "-".join(pair(index)) + suffix}) for address, index in visits()
    ]


def batch(_suffix: str) -> list[bytes]:
    return _batches("")


def new_batch(_suffix: str) -> list[bytes]:
    """The same identities under names that never come again, and so no body does."""
    number = "#" * len(LONG_SERIAL % 0)
    return [record.replace(number.encode(), SERIAL) for record in _batches(f"-{number}")]


def _batches(name_end: str) -> list[bytes]:
    found = []
    for address, start in visits()[: CLIENTS // BATCH]:
        rows = _rows(start)
        rows[0]["name"] += name_end
        found.append(post("/api/v1/identities", address, {"environments": rows}))
    return found


def _rows(start: int) -> list[dict[str, str]]:
    """The rows of a batch: identities one after the other."""
    pairs = [pair((start + step) % IDENTITIES) for step in range(BATCH)]
    return [{"name": f"{prefix}-{run}", "prefix": prefix, "run": run} for prefix, run in pairs]


def mix(suffix: str) -> list[bytes]:
    """The guide's mix in one stream, by its rates; 6 % of the identities are new, in batches too."""
    chance = random.Random(2)
    number = "#" * len(LONG_SERIAL % 0)
    found = []
    for address, index in visits():
        kind = chance.choices(("id", "batch", "validate"), GUIDE_RATES)[0]
        if kind == "id":
            new = b"GET /api/v1/id?prefix=player&run=8" + SERIAL + b" HTTP/1.1\r\n"
            line = new if chance.random() < NEW_SHARE else get_id(index)
            found.append(line + proxied(address) + b"\r\n")
        elif kind == "batch":
            rows = _rows(index)
            if chance.random() < NEW_SHARE * BATCH:
                rows[0]["run"] = f"7{number}"
            record = post("/api/v1/identities", address, {"environments": rows})
            found.append(record.replace(number.encode(), SERIAL))
        else:
            found.append(post("/api/v1/validate", address, {"identity": "-".join(pair(index)) + suffix}))
    return found


WORKLOADS = (
    Workload("cached-direct", "`GET /api/v1/id`, cached, direct client: the same headers every time", cached_direct),
    Workload("cached-proxy", "the same through a proxy: another `X-Forwarded-For` each time", cached_proxy),
    Workload(
        "cached-ingress",
        "the same behind an ingress: 12 headers, unique request id and trace context",
        cached_ingress,
        "%016x",
    ),
    Workload("issuing", "`GET /api/v1/id`, never asked before", issuing, LONG_SERIAL),
    Workload("validate", "`POST /api/v1/validate` of an issued identity", validate),
    Workload("batch-10", "`POST /api/v1/identities`, 10 rows, cached", batch),
    Workload("batch-10-new", "the same identities, under names that never come again", new_batch, LONG_SERIAL),
)
MIX = Workload("mix", "the guide's mix", mix, LONG_SERIAL)
