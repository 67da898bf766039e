"""One client's connection: octets in, exchanges open, answers out in order.

The only file that touches a client's transport. All framing is the parser's, all meaning the service's;
what is decided here is *when*: when to read on, when to write, when to close.

A keep-alive client repeats its header fields octet for octet, a proxy all but a few values, and both often
repeat request lines. So a request whose fields equal the last ones (or fit their shape) and whose line was
answered before needs no parsing: it is a look-up and a comparison, and the same exchange is used again. A
test holds that this gives the answers of the plain way.

Closing is lingering (RFC 9112 9.6): our side is shut, what still comes is read and dropped for a moment,
then the socket is closed; otherwise a reset could destroy the answer on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from arsenal_fast.errors import MessageError
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.responses import CONTINUE
from arsenal_fast.http.shape import BlockShape
from arsenal_fast.service.app import MAX_REMEMBERED_BLOCK, request_id_line
from arsenal_fast.service.exchange import Exchange

if TYPE_CHECKING:
    from arsenal_fast.http.request import Request
    from arsenal_fast.server.listener import Listener

MAX_UNANSWERED: Final = 32
"""Requests of one connection that may wait for their answer; then we stop reading (nginx and Envoy: 100)."""

LINGER: Final = 2.0
"""Seconds to drop what comes after our last answer."""

MAX_DROPPED: Final = 4 * 1024 * 1024
"""Octets dropped after our last answer: four bodies of the largest size."""

IDLE_GRACE: Final = 1.0
"""Seconds without a request after which a draining server closes a connection that is kept alive."""


SHAPES: Final = 4
"""Field blocks in a row in which we look for a shape before this connection is believed to have none."""


class Connection(asyncio.Protocol):
    """A client's connection to this worker."""

    __slots__ = (
        "_active",
        "_advancing",
        "_block",
        "_closing",
        "_continue_owed",
        "_dropped",
        "_eof",
        "_idle_since",
        "_in_body",
        "_last",
        "_linger_until",
        "_listener",
        "_monotonic",
        "_now",
        "_outbox",
        "_parser",
        "_partial_since",
        "_peer",
        "_prepared",
        "_served",
        "_service",
        "_shape",
        "_shapes_left",
        "_stalled",
        "_transport",
        "_unread_since",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._service = service = listener.service
        self._prepared = service.prepared.get
        self._now = service.now
        self._monotonic = service.monotonic
        self._parser = RequestParser(listener.limits)
        self._outbox: deque[Exchange] = deque()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._peer = ""
        self._block: bytes | None = None
        """Field block of the last request, while one with the same block may take the short way."""
        self._last: Exchange | None = None
        """The newest exchange; the short way uses it again."""
        self._shape: BlockShape | None = None
        self._shapes_left = SHAPES
        self._closing = False
        """No further request is taken."""
        self._advancing = False
        self._stalled = False
        """Requests may be waiting in the parser for room in the outbox."""
        self._continue_owed = False
        self._eof = False
        self._active = True
        self._served = False
        self._in_body = False
        self._idle_since = 0.0
        self._partial_since = 0.0
        self._unread_since = 0.0
        self._linger_until = 0.0
        self._dropped = 0

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._idle_since = self._monotonic()
        self._listener.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._block = None
        self._outbox.clear()
        self._listener.closed(self)

    def data_received(self, data: bytes) -> None:
        self._active = True
        block = self._block
        outbox = self._outbox
        if block is not None and not outbox:
            end = data.find(b"\r\n") + 2
            record = self._prepared(data[: end - 2])
            if record is not None and record.fresh_until > self._now():
                exchange = cast(Exchange, self._last)
                if (not record.guarded or self._service.may_answer(record, exchange.client)) and (
                    data[end:] == block or self._fits(data, end, exchange)
                ):
                    exchange.octets = data
                    outbox.append(exchange)
                    self._service.begin_prepared(exchange, record)
                    return
        self._receive(data)

    def eof_received(self) -> bool:
        """Answer what was asked before the client half-closed, then close (RFC 9112 9.6)."""
        self._eof = True
        self._block = None
        # TLS has no half-closed state here, and its transport warns whoever asks for one.
        return bool(self._outbox) and not self._linger_until and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        self._unread_since = self._monotonic()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._unread_since = 0.0
        self._resume()

    # What the service calls.

    def answered(self, exchange: object, answer: bytes, rest: bytes = b"") -> None:
        """Write the answer, and the rest of it, once all earlier ones are written."""
        outbox = self._outbox
        if not outbox:
            return  # the client has gone
        if outbox[0] is not exchange:
            waiting = cast(Exchange, exchange)
            waiting.answer, waiting.rest = answer, rest
            return
        while True:
            first = outbox.popleft()
            try:
                self._transport.write(answer)
                if rest:
                    self._transport.write(rest)
            except RuntimeError:
                return  # the transport has just failed; connection_lost is on its way
            if first.close:
                self._linger()
                return
            if not outbox:
                break
            following = outbox[0]
            if following.answer is None:
                break
            answer, rest = following.answer, following.rest
        if self._stalled or self._eof or self._continue_owed:
            self._resume()

    def is_last(self, exchange: object) -> bool:
        """Say whether the answer to ``exchange`` ends the connection, if the service wants it to end.

        True makes it so: no further request is taken. It never is while more of the client's octets are here.
        """
        if self._outbox and self._outbox[-1] is exchange and self._parser.idle:
            self._closing = True
            return True
        return False

    # What the listener calls.

    def shed(self, answer: bytes) -> None:
        """Answer at once, and nothing else: there are too many connections."""
        self._closing = True
        self._write(answer)
        self._linger()

    def drain(self) -> None:
        """From now on each answer closes; the short way would not say so, so what is on it goes the plain way."""
        self._block = None
        for exchange in self._outbox:
            if exchange.record is not None:
                exchange.recall(self._monotonic())
                exchange.record = None

    def abort(self) -> None:
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Hold the time-outs; called about twice a second with the monotonic clock."""
        limits = self._listener.timeouts
        if self._block is not None and self._last is not None and self._last.client.expires <= self._now():
            self._block = None  # the token that came with these fields has ended
        if self._linger_until:
            unsent = self._transport.get_write_buffer_size() > 0
            if now >= self._linger_until + (limits.write if unsent else 0.0):
                self._transport.abort()
        elif self._unread_since and now - self._unread_since >= limits.write:
            self._time_out()
        elif self._outbox:
            self._idle_since = now
            if self._partial_since:
                self._partial_since = now  # who waits for us (for a 100, it may be) is not the slow one
        elif self._partial_since:
            if now - self._partial_since >= (limits.body if self._in_body else limits.header):
                self._listener.count_time_out()
                self._refuse(408, "The request did not come in time.")
        elif self._active:
            self._active = False
            self._idle_since = now
        elif now - self._idle_since >= self._idle_limit():
            self._time_out()

    # Inside.

    def _idle_limit(self) -> float:
        limits = self._listener.timeouts
        if self._service.draining and self._listener.stopped:
            return IDLE_GRACE
        return limits.keep_alive if self._served else limits.header

    def _time_out(self) -> None:
        if self._unread_since:
            self._listener.count_time_out()
            self._transport.abort()
        else:
            self._linger()

    def _write(self, octets: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the transport has just failed; connection_lost is on its way
            self._transport.write(octets)

    def _receive(self, data: bytes) -> None:
        if self._closing:
            self._drop(data)
            return
        self._continue_owed = False  # who sends the body already does not wait for it
        self._parser.feed(data)
        self._advance()

    def _resume(self) -> None:
        """Go on after a stall: requests that wait in the parser first, then the socket."""
        if self._advancing:
            return  # an answer came at once; the loop that opened its exchange goes on by itself
        if self._closing:
            self._transport.resume_reading()
            return
        self._stalled = False
        self._advance()
        if not self._stalled and not self._unread_since:
            self._transport.resume_reading()
        if self._eof and not self._outbox and not self._linger_until:
            self._transport.close()

    def _advance(self) -> None:
        """Open an exchange for every request that is complete, as far as there is room."""
        self._advancing = True
        self._block = None
        parser, outbox = self._parser, self._outbox
        opened = False
        try:
            while not self._closing:
                if len(outbox) >= MAX_UNANSWERED or self._unread_since:
                    self._stalled = True
                    self._transport.pause_reading()
                    break
                request = parser.next_request()
                if request is None:
                    break
                opened = True
                self._open(request)
        except MessageError as error:
            self._refuse(error.status, error.detail)
        finally:
            self._advancing = False
        if not self._closing:
            self._after_advance(opened)

    def _fits(self, data: bytes, block: int, exchange: Exchange) -> bool:
        """Whether the fields are the last ones but for who asks and under which id; ``exchange`` then knows."""
        shape = self._shape
        if len(data) - block > MAX_REMEMBERED_BLOCK:
            return False  # perhaps longer than a field section may be
        if shape is None:
            if not self._shapes_left:
                return False
            self._shapes_left -= 1
            shape = self._shape = BlockShape(exchange.request.fields)
        holes = shape.match(data, block)
        if holes is None:
            self._shape = None
            return False
        self._shapes_left = SHAPES
        self._block = data[block:]
        service = self._service
        forwarded_for, request_id = holes
        if forwarded_for is not None and not exchange.client.token:
            exchange.client = service.client(self._peer, forwarded_for)
        if request_id is not None:
            exchange.extra = service.cors.reflected(exchange.request.fields.origin) + request_id_line(request_id)
        return True

    def _open(self, request: Request) -> None:
        service = self._service
        client = service.client(self._peer, request.fields.forwarded_for)
        exchange = self._last = Exchange(service, self, request, client, self._monotonic())
        self._shape = None  # it was of another request's fields
        self._served = True
        self._outbox.append(exchange)
        if exchange.close:
            self._closing = True
        service.begin(exchange)

    def _after_advance(self, opened: bool) -> None:
        """``opened``: a request was complete, so what is left in the parser is of a new one."""
        parser = self._parser
        if parser.idle:
            self._partial_since = 0.0
            self._in_body = False
            last = self._last
            if opened and last is not None and parser.untouched and self._service.may_repeat(last):
                # The next request with these fields may take the short way, by the same exchange.
                self._block = last.request.fields.block
            return
        if opened or not self._partial_since or self._in_body is not parser.in_body:
            self._in_body = parser.in_body
            self._partial_since = self._monotonic()
        if parser.take_continue():
            self._continue_owed = True
        if self._continue_owed and not self._outbox:
            self._continue_owed = False
            self._write(CONTINUE)

    def _refuse(self, status: int, detail: str) -> None:
        """Answer octets that are no request, after all earlier answers, and close."""
        self._closing = True
        answer = self._service.malformed(status, detail)
        if self._outbox:
            # A place in the order; nothing of a request is known.
            last = self._outbox[-1]
            ending = Exchange(self._service, self, last.request, last.client, last.started)
            ending.close = True
            ending.answer = answer
            self._outbox.append(ending)
        else:
            self._write(answer)
            self._linger()

    def _linger(self) -> None:
        self._closing = True
        self._block = None
        self._outbox.clear()
        transport = self._transport
        if self._eof or not transport.can_write_eof():
            transport.close()
            return
        self._linger_until = self._monotonic() + LINGER
        with contextlib.suppress(RuntimeError):  # as in _write
            transport.write_eof()
        transport.resume_reading()

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > MAX_DROPPED:
            self._transport.abort()
