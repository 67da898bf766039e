"""TLS between the socket's transport and a connection, with no time-out and no bound of its own.

To the event loop a ``TlsTransport`` is the protocol of the socket, to the connection it is the transport. So the
connection exists, and is counted, from accepting on, its deadlines hold for the handshake and for closing, and its
back-pressure is the socket's. (uvloop's own TLS makes the connection after the handshake, and has time-outs of 60 and
30 seconds that nothing ends.) OpenSSL does the cryptography in memory; no byte of a socket is touched here.

Closing is one-sided (RFC 8446 6.1): ``close_notify`` is sent and never waited for. A client that sends its own, or half
of whose TCP connection is shut, still gets its answers. A stream that ends without ``close_notify`` can't cut a request
short unseen, since every message has a length.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

from arsenal_fast.server.turns import DECRYPTED, HANDSHAKE, Turns

READ: Final = 65_536
"""Bytes asked of OpenSSL at a time; it gives one record (16 KiB) at most."""

SLICE: Final = 16_384
"""Bytes encrypted or decrypted at a time: one record. OpenSSL's buffers in memory never shrink, so what passes through
them at a time is what each connection holds of them for its life. What waits for a client that does not read waits
unencrypted, so that an answer that many clients share is not copied for each."""

_RECORD_HEAD: Final = 5
_MESSAGE_HEAD: Final = 4
_HANDSHAKE: Final = 22  # ContentType
_CLIENT_HELLO: Final = 1  # HandshakeType


class Handshakes:
    """The handshakes of one worker that were answered and are not complete; the oldest are cut off beyond a bound.

    Each holds 48 kB, and 20 once it is complete. A client that means it takes one round trip.
    """

    __slots__ = ("_bound", "_cut_off", "_open")

    def __init__(self, bound: int, cut_off: Callable[[], object]) -> None:
        """``cut_off`` is called for each that is."""
        self._bound = bound
        self._cut_off = cut_off
        self._open: dict[TlsTransport, None] = {}

    def begin(self, transport: TlsTransport) -> None:
        self._open[transport] = None
        if len(self._open) > self._bound:
            oldest = next(iter(self._open))
            self.end(oldest)
            self._cut_off()
            oldest.abort()

    def end(self, transport: TlsTransport) -> None:
        """It is complete, or has failed."""
        self._open.pop(transport, None)


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One client's TLS session."""

    _tls: ssl.SSLObject
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _begun = False
    """There is a session: from the client's first message on. Until then it costs what a plain connection does."""
    _ready = False
    """The handshake is complete."""
    _failed = False
    """There is no session, and there will be none."""
    _early = b""
    """What waits for the rest of the first message, or for a turn."""
    _held = 0
    """Bytes of it that wait for a turn; 0: nothing does."""
    _eof = False
    """So does the end of the stream."""
    _reads = True
    """The connection wants to read."""
    _paused = False
    """The socket takes nothing more for the moment."""
    _shut = False
    """Our side is to be shut, or is, when the queue is empty; nothing more is decrypted."""
    _closing = False
    """The socket is to be closed then."""
    _plain: asyncio.Transport

    def __init__(
        self, context: ssl.SSLContext, connection: asyncio.Protocol, turns: Turns, handshakes: Handshakes
    ) -> None:
        super().__init__()
        self._context, self._connection = context, connection
        self._turns, self._handshakes = turns, handshakes
        self._queue: deque[memoryview] = deque()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._plain = cast(asyncio.Transport, transport)
        self._connection.connection_made(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._handshakes.end(self)
        self._ready, self._failed = False, True
        self._queue.clear()
        self._early = b""
        connection, self._connection = self._connection, asyncio.Protocol()  # no cycle is left behind
        connection.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if not self._ready or self._held or self._shut or len(data) > SLICE:
            self._receive(data)
            return
        incoming = self._incoming
        incoming.write(data)
        received: bytes | None = None
        try:
            received = self._tls.read(READ)
        except ssl.SSLWantReadError:
            pass  # contextlib.suppress costs more than the rest of this
        except ssl.SSLError:
            self._fail()
            return
        if received and not incoming.pending and not self._outgoing.pending:
            self._connection.data_received(received)  # nearly always: one record, whole and alone
        else:
            self._decrypt(b"", received)

    def _receive(self, data: bytes) -> None:
        """Take what is no usual record of an open session."""
        if self._failed:
            return
        if self._shut and self._ready:
            self._connection.data_received(data)  # it drops and counts what comes
            return
        self._early += data
        if self._held or not (self._begun or self._begin()):
            return
        if self._turns.hold(len(self._early)):
            self._held = len(self._early)
            self._plain.pause_reading()
            peer = self._plain.get_extra_info("peername")
            self._turns.arrive(self, peer[0] if isinstance(peer, tuple) else "")
        else:
            self._turns.spend(self._go_on())

    def take_turn(self, units: int) -> int:
        """Go on with what was held; return what it cost, for a step of a handshake is one whatever it costs."""
        self._turns.release(self._held)
        self._held = 0
        if self._failed:
            return 1
        if self._reads:
            self._plain.resume_reading()
        cost = self._go_on()
        if self._eof and not self._failed and not self.eof_received():
            self._plain.close()
        return cost

    def eof_received(self) -> bool:
        if self._held:
            self._eof = True
            return True
        if not self._ready:
            return False
        if self._connection.eof_received():
            return True
        self.close()
        return bool(self._queue)

    def pause_writing(self) -> None:
        self._paused = True
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        self._send_queue()
        if not self._paused and not self._queue:
            self._connection.resume_writing()

    # What the connection calls.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls if self._begun else default
        return self._plain.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._ready and not self._queue and not self._paused and len(data) <= SLICE:
            self._tls.write(data)
            self._plain.write(self._outgoing.read())
        elif not self._failed:
            self._queue.append(memoryview(data))
            if self._ready:
                self._send_queue()

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the client has not taken; none before the handshake, which has no response."""
        return self._plain.get_write_buffer_size() + sum(map(len, self._queue)) if self._ready else 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._shut = True
        if self._ready and not self._queue:
            self._end()

    def close(self) -> None:
        self._closing = True
        if not self._ready:
            self._plain.abort()  # nobody waits for what was written of a handshake
        elif not self._queue:
            self._end()

    def abort(self) -> None:
        self._plain.abort()

    def is_closing(self) -> bool:
        return self._closing or self._plain.is_closing()

    def pause_reading(self) -> None:
        self._reads = False
        self._plain.pause_reading()

    def resume_reading(self) -> None:
        self._reads = True
        if not self._held:
            self._plain.resume_reading()

    # Inside.

    def _begin(self) -> bool:
        """Begin the session if the first message is here, and end the connection if it is none."""
        whole = _is_hello(self._early)
        if whole is None:
            self._fail()
        elif whole:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
            self._begun = True
            self._handshakes.begin(self)
        return self._begun

    def _go_on(self) -> int:
        """Take what is here; return the units that it cost."""
        data, self._early = self._early, b""
        cost = (0 if self._ready else HANDSHAKE) + (len(data) >> DECRYPTED)
        self._decrypt(data)
        return max(cost, 1)

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self._handshakes.end(self)
        self._ready = True
        self._flush()
        self._send_queue()
        return not self._shut

    def _decrypt(self, data: bytes, first: bytes | None = None) -> None:
        """Hand on what the records that have come hold, as one read.

        ``first``: what was read of them already; empty: the client has ended the session.
        """
        incoming, read = self._incoming, self._tls.read
        parts = [first] if first else []
        ended = first == b""
        try:
            for start in range(0, len(data) or 1, SLICE):
                incoming.write(data[start : start + SLICE] if len(data) > SLICE else data)
                try:
                    # Without another record there is no need to hear so from OpenSSL.
                    while not ended and (self._ready or self._shake_hands()) and incoming.pending:
                        parts.append(part := read(READ))
                        ended = not part
                except ssl.SSLWantReadError:
                    continue
        except ssl.SSLError:
            self._fail()
            return
        if self._outgoing.pending:
            self._flush()
        received = b"".join(parts)
        if received:
            self._connection.data_received(received)
        if ended and not self._shut:
            incoming.read()
            if not self._connection.eof_received():
                self.close()

    def _send_queue(self) -> None:
        queue = self._queue
        while queue and not self._paused:
            view = queue.popleft()
            if len(view) > SLICE:
                queue.appendleft(view[SLICE:])
            self._tls.write(view[:SLICE])
            self._flush()
        if not queue and (self._shut or self._closing):
            self._end()

    def _end(self) -> None:
        """Say that nothing more comes, and shut our side or close the socket."""
        with contextlib.suppress(ssl.SSLError):  # the client's own close_notify has not come
            self._tls.unwrap()
        self._shut = True
        with contextlib.suppress(RuntimeError):  # the socket has just failed; connection_lost is on its way
            self._flush()
            if self._closing:
                self._plain.close()
            else:
                self._plain.write_eof()

    def _fail(self) -> None:
        """End a session that is none, or no longer one, with the alert that OpenSSL has made of it."""
        self._ready, self._failed = False, True
        with contextlib.suppress(RuntimeError):
            self._flush()
        self._plain.close()

    def _flush(self) -> None:
        if self._begun and self._outgoing.pending:
            self._plain.write(self._outgoing.read())


def _is_hello(data: bytes) -> bool | None:
    """Whether the first message is here: whole and in one record, as all clients send it; None: what is here is none.

    OpenSSL makes room for the length that a message claims to have: 175 kB for nine bytes (RFC 8446 4 and 5.1).
    """
    if data[0] != _HANDSHAKE:
        return None
    if len(data) < _RECORD_HEAD + _MESSAGE_HEAD:
        return False
    record, message = int.from_bytes(data[3:5]), int.from_bytes(data[6:9])
    if data[5] != _CLIENT_HELLO or message + _MESSAGE_HEAD > record or record > SLICE:
        return None
    return len(data) >= _RECORD_HEAD + record
