"""TLS between the socket's transport and a connection, with no time-out and no bound of its own.

To the event loop a ``TlsTransport`` is the protocol of the socket, to the connection it is the transport. So the
connection exists, and is counted, from accepting on, its deadlines hold for the handshake and for closing, and its
back-pressure is the socket's. (uvloop's own TLS makes the connection after the handshake, and has time-outs of 60 and
30 seconds that nothing ends.) OpenSSL does the cryptography in memory; no octet of a socket is touched here.

Closing is one-sided (RFC 8446 6.1): ``close_notify`` is sent and never waited for. A client that sends its own, or half
of whose TCP connection is shut, still gets its answers. A stream that ends without ``close_notify`` can't cut a request
short unseen, since every message has a length.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from typing import Any, Final, cast

READ: Final = 65_536
"""Octets asked of OpenSSL at a time; it gives one record (16 KiB) at most."""

SLICE: Final = 65_536
"""Octets encrypted at a time. What waits for a client that does not read waits unencrypted, so that an answer that many
clients share is not copied for each."""


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One client's TLS session."""

    __slots__ = (
        "_closing",
        "_connection",
        "_failed",
        "_incoming",
        "_outgoing",
        "_paused",
        "_plain",
        "_queue",
        "_queued",
        "_ready",
        "_shut",
        "_tls",
    )

    def __init__(self, context: ssl.SSLContext, connection: asyncio.Protocol) -> None:
        super().__init__()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._connection = connection
        self._plain = cast(asyncio.Transport, None)
        self._ready = False
        """The handshake is complete."""
        self._failed = False
        """There is no session, and there will be none."""
        self._paused = False
        """The socket takes nothing more for the moment."""
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._shut = False
        """Our side is to be shut, or is, when the queue is empty; nothing more is decrypted."""
        self._closing = False
        """The socket is to be closed then."""

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._plain = cast(asyncio.Transport, transport)
        self._connection.connection_made(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._ready, self._failed = False, True
        self._queue.clear()
        self._queued = 0
        connection, self._connection = self._connection, asyncio.Protocol()  # no cycle is left behind
        connection.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if self._failed:
            return
        if self._shut and self._ready:
            self._connection.data_received(data)  # it drops and counts what comes
            return
        self._incoming.write(data)
        try:
            if self._ready or self._shake_hands():
                self._deliver()
        except ssl.SSLError:
            self._fail()

    def eof_received(self) -> bool:
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
        return self._tls if name == "ssl_object" else self._plain.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._queue or self._paused or not self._ready or len(data) > SLICE:
            if not self._failed:
                self._queue.append(memoryview(data))
                self._queued += len(data)
                if self._ready:
                    self._send_queue()
            return
        self._tls.write(data)
        self._plain.write(self._outgoing.read())

    def get_write_buffer_size(self) -> int:
        """Return the octets that the client has not taken; none before the handshake, which nobody waits for."""
        return self._plain.get_write_buffer_size() + self._queued if self._ready else 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._shut = True
        if self._ready and not self._queue:
            self._end()

    def close(self) -> None:
        self._closing = True
        if not self._ready:
            self._plain.close()
        elif not self._queue:
            self._end()

    def abort(self) -> None:
        self._plain.abort()

    def is_closing(self) -> bool:
        return self._closing or self._plain.is_closing()

    def pause_reading(self) -> None:
        self._plain.pause_reading()

    def resume_reading(self) -> None:
        self._plain.resume_reading()

    # Inside.

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self._ready = True
        self._flush()
        self._send_queue()
        return not self._shut

    def _deliver(self) -> None:
        """Hand on what the records that have come hold, as one read."""
        incoming, read = self._incoming, self._tls.read
        parts: list[bytes] = []
        ended = False
        while incoming.pending:  # without another record there is no need to hear so from OpenSSL
            try:
                part = read(READ)
            except ssl.SSLWantReadError:
                break
            if not part:
                ended = True
                break
            parts.append(part)
        self._flush()
        if parts:
            self._connection.data_received(parts[0] if len(parts) == 1 else b"".join(parts))
        if ended and not self._shut:
            self._incoming.read()
            if not self._connection.eof_received():
                self.close()

    def _send_queue(self) -> None:
        queue = self._queue
        while queue and not self._paused:
            view = queue[0]
            part = view[:SLICE]
            if len(view) > SLICE:
                queue[0] = view[SLICE:]
            else:
                del queue[0]
            self._queued -= len(part)
            self._tls.write(part)
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
        if self._outgoing.pending:
            self._plain.write(self._outgoing.read())
