"""Requests that fill a worker's tables: the longest possible values, different ones each time.

No pytest in here. One blocking connection, and so many requests at a time that a tick has many of them.
"""

import json
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

DOMAIN: Final = ".".join(["d" * 61] * 4)
"""247 bytes; with a local part of 64 and the longest version an identity has 320."""

_AT_ONCE: Final = 16
_TARGET: Final = 1024
_BODY: Final = 512
_HOPS: Final = 128
_ROWS: Final = 50


def identity(number: int) -> str:
    """An identity of 320 bytes."""
    return f"p-{number:062d}@{DOMAIN}/v999:id"


def line(number: int) -> bytes:
    """A request for an identity, escaped until its target is as long as those that are remembered."""
    run = f"{number:062d}"
    target = f"/api/v1/id?prefix=p&run={run}&domain={DOMAIN}&version=v999&ttl=2592000"
    missing = (_TARGET - len(target)) // 2
    letters = run.replace("0", "%30", min(missing, run.count("0")))
    missing -= min(missing, run.count("0"))
    domain = DOMAIN.replace("d", "%64", missing)
    return f"GET /api/v1/id?prefix=p&run={letters}&domain={domain}&version=v999&ttl=2592000 HTTP/1.1\r\n".encode()


def forwarded(number: int, octets: int = _HOPS) -> bytes:
    """An X-Forwarded-For of another IPv6 network through trusted hops, as long as those that are remembered."""
    first = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
    hops = ",127.0.0.1" * ((octets - len(first)) // len(",127.0.0.1"))
    return f"X-Forwarded-For: {(first + hops).ljust(octets)}\r\n".encode()


def issue(number: int, client: int, octets: int = _HOPS) -> bytes:
    """One identity, requested by one client."""
    return line(number) + b"Host: x\r\nX-Request-Id: " + b"r" * 128 + b"\r\n" + forwarded(client, octets) + b"\r\n"


def validate(number: int) -> bytes:
    """The verdict on an identity."""
    body = json.dumps({"identity": identity(number)}).encode().ljust(_BODY)
    return post(b"/api/v1/validate", body)


def batch(number: int) -> bytes:
    """Identities that no other batch has."""
    rows = [{"name": "e", "run": f"{number}.{row}"} for row in range(_ROWS)]
    body = json.dumps({"environments": rows, "domain": DOMAIN, "version": "v999"}, separators=(",", ":")).encode()
    return post(b"/api/v1/identities", body)


def post(path: bytes, body: bytes) -> bytes:
    """A request with JSON."""
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        path,
        len(body),
        body,
    )


class Sender:
    """A connection that sends requests and counts the statuses of their answers."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._received = b""
        self.statuses: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, requests: Iterator[bytes]) -> None:
        """Send all, some at a time, and read their answers."""
        waiting: list[bytes] = []
        for each in requests:
            waiting.append(each)
            if len(waiting) == _AT_ONCE:
                self._exchange(waiting)
                waiting = []
        self._exchange(waiting)

    def _exchange(self, requests: list[bytes]) -> None:
        self._socket.sendall(b"".join(requests))
        for _ in requests:
            status = self._answer()
            self.statuses[status] = self.statuses.get(status, 0) + 1

    def _answer(self) -> int:
        while b"\r\n\r\n" not in self._received:
            self._read()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(self._received) < length:
            self._read()
        self._received = self._received[length:]
        return int(head[9:12])

    def _read(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the service has closed the connection")
        self._received += data
