"""A whole worker without a process: service, connections and the embedded store, with a clock that the test sets.

What is unreal about it: the transport is a fake (it takes every byte at once unless set to be full, and
knows no TLS), and the event loop is a list of callbacks that ``tick()`` runs. What is real: everything else.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import h11

from arsenal_fast.api.compose import compose
from arsenal_fast.api.fastpath.recognized import RecognizedRequest
from arsenal_fast.api.fastpath.recognizer import FastPath
from arsenal_fast.api.gate import GateBounds
from arsenal_fast.api.services import Services
from arsenal_fast.api.settings import Settings
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.request import Request
from arsenal_fast.http.template import WORTHWHILE, RequestTemplates
from arsenal_fast.identity.validity import Fetching, Life
from arsenal_fast.observability.access_log import AccessLog
from arsenal_fast.observability.logs import TextFormatter
from arsenal_fast.oidc.issuer_keys import Fetch
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.secret import Secret
from arsenal_fast.server.bounds import Bounds
from arsenal_fast.server.connection import Connection
from arsenal_fast.server.listener import Listener
from arsenal_fast.server.state import time_limits
from arsenal_fast.stores.memory import MemoryBackend
from arsenal_fast.stores.ports import Backend, Ledger
from arsenal_fast.tokens.keys import Keys
from tests.support.stores import FetchingStore, SwitchedStore

PEER = ("203.0.113.9", 50_000)
START = 1_763_805_600.0
"""2025-11-22T10:00:00Z"""
KEYS = Keys(Secret("a secret of the tests, 32 octets long"), issuer="http://localhost:3655")


@dataclass
class Answer:
    """One answer as h11, a client that is none of ours, read it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeTransport(asyncio.Transport):
    """Takes everything at once. As uvloop's it does nothing more once it is closed."""

    def __init__(self, peer: tuple[str, int] | str, can_half_close: bool = True) -> None:
        super().__init__({"peername": peer})
        self.can_half_close = can_half_close
        """False as over TLS."""
        self.broken = False
        """As one that has just failed: it raises, and connection_lost is yet to come."""
        self.fault: Exception | None = None
        """What a write raises that no transport should."""
        self.written: list[bytes] = []
        self.eof = False
        self.closed = False
        self.aborted = False
        self.reading = True
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.fault is not None:
            raise self.fault
        if self.broken:
            raise RuntimeError("the handler is closed")
        assert not self.eof, "nothing may be written after our half of the connection is shut"
        assert not self.closed, "nothing may be written after closing"
        self.written.append(bytes(data))

    def can_write_eof(self) -> bool:
        return self.can_half_close

    def write_eof(self) -> None:
        if self.broken:
            raise RuntimeError("the handler is closed")
        self.eof = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


@dataclass
class Rig:
    """One worker; ``settings`` are passed on, ``store`` may stand in for the embedded one."""

    settings: dict[str, Any] = field(default_factory=dict)
    store: Backend | None = None
    ledger: Ledger | None = None
    access: list[tuple[bytes, str, int]] = field(default_factory=list)
    """What the access log was given: path, client and status."""
    lines: list[str] = field(default_factory=list)
    """What it wrote, but for the time."""
    max_connections: int = 1000
    fast_path: bool = True
    worthwhile: int = WORTHWHILE
    """Blocks that look alike before there is a template of them."""
    bounds: Bounds = Bounds()  # noqa: RUF009  frozen
    gate_bounds: GateBounds = GateBounds()  # noqa: RUF009  frozen
    random: Callable[[int], bytes] = os.urandom
    """Makes drawn runs and request ids; perhaps the same in two workers."""
    fetch_keys: Fetch | None = None
    """Fetches the keys of issuers of ID tokens."""
    switched: bool = False
    """The store is ``shared``, which the test can take away."""
    fetches: bool = False
    """``shared`` fetches what a request needs with the command that admits it."""

    def __post_init__(self) -> None:
        self.wall = START
        self.elapsed = 1000.0
        self.keys = KEYS
        self.soon: list[Callable[[], None]] = []
        self.spare = self.memory()
        self.shared = FetchingStore(self.memory()) if self.fetches else SwitchedStore(self.memory())
        store = self.shared if self.switched else self.store
        defaults: dict[str, Any] = {
            "version": "v4.2.0",
            "domain": "sports.api.yourbook.com",
            "base_url": "http://localhost:3655",
            "quota": Quota(100, 3600),
            "fast_path": self.fast_path,
            "ignored_parameters": ("utm_*", "_"),
        }
        values = Settings(**{**defaults, **self.settings})
        self.access_log = AccessLog(values.access_log, TextFormatter(), self._write_line, lambda: self.elapsed)
        self.service = Services(
            settings=values,
            backend=store or self.spare,
            local=self.spare,
            keys=self.keys,
            ledger=self.ledger,
            call_soon=self.soon.append,
            monotonic=lambda: self.elapsed,
            now=lambda: self.wall,
            random=self.random,
            fetch_keys=self.fetch_keys,
            access_log=None if values.access_log == "off" else self._log,
            gate_bounds=self.gate_bounds,
        )
        self.app = compose(self.service, Limits())
        if self.fast_path_of_app is not None:
            self.fast_path_of_app.templates = RequestTemplates(Limits(), worthwhile=self.worthwhile)
        self.service.ready = True
        self.listener = Listener(
            self.app,
            limits=Limits(),
            time_limits=time_limits(),
            max_connections=self.max_connections,
            bounds=self.bounds,
        )

    def _log(self, request: Request, request_id: str, client: str, status: int, seconds: float) -> None:
        self.access.append((request.path, client, status))
        self.access_log(request, request_id, client, status, seconds)

    def _write_line(self, line: str) -> None:
        self.lines.append(line.partition(" ")[2])

    @property
    def fast_path_of_app(self) -> FastPath | None:
        """What the connections share, where there is a fast path."""
        return self.app._fast_path

    def recognized(self) -> list[RecognizedRequest]:
        """A list that grows with each request that is recognised on connections opened from now on."""
        found: list[RecognizedRequest] = []
        self.note_recognized(found.append)
        return found

    def note_recognized(self, note: Callable[[RecognizedRequest], None]) -> None:
        """Call ``note`` with each request that is recognised on connections opened from now on."""
        if self.fast_path_of_app is None:
            return
        work = self.fast_path_of_app.work
        submit = work.submit

        def noted(request: RecognizedRequest, wanted: Fetching | None) -> None:
            note(request)
            submit(request, wanted)

        work.submit = noted

    def memory(self) -> MemoryBackend:
        """Return an embedded store that goes by this worker's clocks."""
        return MemoryBackend(now_us=lambda: round(self.elapsed * 1_000_000), now_ms=lambda: round(self.wall * 1000))

    def tick(self) -> None:
        """Run the callbacks that are due, and those that they schedule, as one turn of the loop after another."""
        while self.soon:
            self.turn()

    def turn(self) -> None:
        """Run the callbacks that are due, as one turn of the loop."""
        callbacks, self.soon[:] = self.soon[:], []
        for callback in callbacks:
            callback()

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.wall += seconds
        self.elapsed += seconds

    def sweep(self) -> None:
        """Hold the time-outs as the listener would."""
        self.service.gate.sweep(self.elapsed)
        for connection in tuple(self.listener._connections):
            connection.sweep(self.elapsed)

    def drain(self, *, stopped: bool = False) -> None:
        """As a worker does on SIGTERM; ``stopped``: it listens no more."""
        self.service.draining = True
        self.listener.drain()
        self.listener.stopped = stopped

    def connect(self, peer: tuple[str, int] | str = PEER, *, can_half_close: bool = True) -> Client:
        return Client(self, peer, can_half_close=can_half_close)

    def token(self, identity: str, ttl: int = 3600) -> str:
        """Return the token of a life that begins now; ``ttl`` in seconds."""
        now_ms = round(self.wall * 1000)
        return self.keys.sign_identity(identity, Life(now_ms, now_ms + ttl * 1000))

    def bearer(
        self,
        *scopes: str,
        subject: str = "sports-book",
        rate_limit: int = 1000,
        days: int = 1,
        per_subject: int | None = None,
    ) -> str:
        """Return an Authorization with a fresh service token; subjects have its limit by default."""
        if per_subject is None:
            per_subject = rate_limit if "behalf" in scopes else 0
        token = self.keys.mint_service(subject, scopes, rate_limit, days, self.wall, per_subject=per_subject)
        return f"Bearer {token}"

    def get(self, target: str, **headers: str) -> Answer:
        """One GET on a connection of its own."""
        return self.connect().get(target, **headers)

    def post(self, target: str, body: object, **headers: str) -> Answer:
        """One POST of JSON on a connection of its own."""
        return self.connect().post(target, body, **headers)


class Client:
    """The other end of one connection."""

    def __init__(self, rig: Rig, peer: tuple[str, int] | str, *, can_half_close: bool = True) -> None:
        self.rig = rig
        self.transport = FakeTransport(peer, can_half_close)
        self.connection = Connection(rig.listener)
        self.connection.connection_made(self.transport)

    def deliver(self, octets: bytes) -> None:
        """Deliver bytes, in a turn of the loop that is not over."""
        self.connection.data_received(octets)

    def send(self, octets: bytes) -> None:
        """Deliver bytes and let the loop turn."""
        self.deliver(octets)
        self.rig.tick()

    def half_close(self) -> None:
        """Send no more; as a transport does, close unless the connection stays open."""
        if not self.connection.eof_received():
            self.transport.close()
        self.rig.tick()

    def lose(self) -> None:
        """Be gone."""
        self.connection.connection_lost(None)

    def answers(self, *methods: str) -> list[Answer]:
        """Return what was written since the last time: one answer for each method."""
        return read_answers(self.take(), list(methods))

    @property
    def octets(self) -> bytes:
        """All that was written to this client."""
        return b"".join(self.transport.written)

    def take(self) -> bytes:
        """Return what was written since the last time."""
        octets = self.octets
        self.transport.written.clear()
        return octets

    def get(self, target: str, method: str = "GET", **headers: str) -> Answer:
        self.send(request(method, target, **headers))
        return read_answers(self.take(), [method])[0]

    def post(self, target: str, body: object, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"Content-Type": "application/json", **headers}
        self.send(request("POST", target, content, **lines))
        return read_answers(self.take(), ["POST"])[0]


def request(method: str, target: str, body: bytes | None = None, /, **headers: str) -> bytes:
    """Return the bytes of a request; ``_`` in a header's name stands for ``-``."""
    lines = {"Host": "identity", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + (body or b"")


def _combined(lines: list[tuple[str, str]]) -> dict[str, str]:
    """One value a name; only ``Vary`` is a list that comes in several lines (RFC 9110 5.3)."""
    headers: dict[str, str] = {}
    for name, value in lines:
        assert name not in headers or name == "vary", f"{name} came twice"
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def read_answers(octets: bytes, methods: list[str]) -> list[Answer]:
    """Read answers as h11 does, one for each method in order; nothing may be left over."""
    answers = []
    for method in methods:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("Host", "identity")]))
        client.send(h11.EndOfMessage())
        client.receive_data(octets)
        status, headers, body = 0, {}, b""
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
                headers = _combined([(name.decode(), value.decode()) for name, value in event.headers])
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                assert isinstance(event, h11.InformationalResponse), f"no whole answer: {event!r} in {octets!r}"
        octets = client.trailing_data[0]
        answers.append(Answer(status, headers, body))
    assert not octets, f"more was written than there were requests: {octets!r}"
    return answers
