"""One client's connection: octets in, exchanges open, answers out in order.

The only file that touches a client's transport. All framing is the parser's, all meaning the service's;
what is decided here is *when*: when to read on, when to write, when to close.

A keep-alive client repeats its header fields octet for octet, and often its request line. So a request
whose fields equal the last ones and whose line was answered before needs no parsing at all: it is a
comparison and a look-up, and the same exchange is used again. A test holds that this gives the answers of
the plain way.

Closing is lingering (RFC 9112 9.6): our side is shut, what still comes is read and dropped for a moment,
then the socket is closed; otherwise a reset could destroy the answer on its way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from arsenal_fast.errors import MessageError
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.responses import CONTINUE
from arsenal_fast.service.exchange import Exchange

if TYPE_CHECKING:
    from arsenal_fast.http.request import Request
    from arsenal_fast.limiting.client import Client
    from arsenal_fast.server.listener import Listener

MAX_UNANSWERED: Final = 32
"""Requests of one connection that may wait for their answer; then we stop reading (nginx and Envoy: 100)."""

LINGER: Final = 2.0
"""Seconds to drop what comes after our last answer."""

MAX_DROPPED: Final = 4 * 1024 * 1024
"""Octets dropped after our last answer: four bodies of the largest size."""

IDLE_GRACE: Final = 1.0
"""Seconds without a request after which a draining server closes a connection that is kept alive."""


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
        "_fields_client",
        "_idle_since",
        "_in_body",
        "_linger_until",
        "_listener",
        "_monotonic",
        "_now",
        "_outbox",
        "_parser",
        "_partial_since",
        "_peer",
        "_prepared",
        "_repeat",
        "_served",
        "_service",
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
        self._repeat: Exchange | None = None
        self._fields_client: tuple[object, Client] | None = None
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
            if data[end:] == block:
                record = self._prepared(data[: end - 2])
                if record is not None and record.fresh_until > self._now():
                    exchange = cast(Exchange, self._repeat)
                    outbox.append(exchange)
                    self._service.begin_prepared(exchange, record)
                    return
        self._receive(data)

    def eof_received(self) -> bool:
        """Answer what was asked before the client half-closed, then close (RFC 9112 9.6)."""
        self._eof = True
        self._block = None
        return bool(self._outbox) and not self._linger_until

    def pause_writing(self) -> None:
        self._unread_since = self._monotonic()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._unread_since = 0.0
        self._resume()

    # What the service calls.

    def answered(self, exchange: object, answer: bytes) -> None:
        """Write the answer once all earlier ones are written."""
        outbox = self._outbox
        if not outbox:
            return  # the client has gone
        if outbox[0] is not exchange:
            cast(Exchange, exchange).answer = answer
            return
        while True:
            first = outbox.popleft()
            try:
                self._transport.write(answer)
            except RuntimeError:
                return  # the transport has just failed; connection_lost is on its way
            if first.close:
                self._linger()
                return
            if not outbox:
                break
            following = outbox[0].answer
            if following is None:
                break
            answer = following
        if self._stalled or self._eof or self._continue_owed:
            self._resume()

    def is_last(self, exchange: object) -> bool:
        """Say whether the answer to ``exchange`` ends the connection, if the service wants it to end.

        True makes it so: no further request is taken.
        """
        if self._outbox and self._outbox[-1] is exchange:
            self._closing = True
            return True
        return False

    # What the listener calls.

    def shed(self, answer: bytes) -> None:
        """Answer at once, and nothing else: there are too many connections."""
        self._closing = True
        self._transport.write(answer)
        self._linger()

    def drain(self) -> None:
        """From now on each answer closes; the short way would not say so."""
        self._block = None

    def abort(self) -> None:
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Hold the time-outs; called about twice a second with the monotonic clock."""
        limits = self._listener.timeouts
        if self._linger_until:
            unsent = self._transport.get_write_buffer_size() > 0
            if now >= self._linger_until + (limits.write if unsent else 0.0):
                self._transport.abort()
        elif self._unread_since and now - self._unread_since >= limits.write:
            self._time_out()
        elif self._outbox:
            self._idle_since = now
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

    def _receive(self, data: bytes) -> None:
        if self._closing:
            self._drop(data)
            return
        self._parser.feed(data)
        self._advance()

    def _resume(self) -> None:
        """Go on after a stall: requests that wait in the parser first, then the socket."""
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
        if self._advancing:
            self._stalled = True  # an answer came at once; the loop below goes on
            return
        self._advancing = True
        self._block = None
        parser, outbox = self._parser, self._outbox
        request: Request | None = None
        last: Request | None = None
        try:
            while not self._closing:
                if len(outbox) >= MAX_UNANSWERED or self._unread_since:
                    self._stalled = True
                    self._transport.pause_reading()
                    break
                request = parser.next_request()
                if request is None:
                    break
                last = request
                self._open(request)
        except MessageError as error:
            self._refuse(error.status, error.detail)
        finally:
            self._advancing = False
        if not self._closing:
            self._after_advance(last)

    def _open(self, request: Request) -> None:
        exchange = Exchange(self._service, self, request, self._client(request), self._monotonic())
        self._served = True
        self._outbox.append(exchange)
        if exchange.close:
            self._closing = True
        self._service.begin(exchange)

    def _client(self, request: Request) -> Client:
        """Return whom to charge; the same fields object means the same client."""
        fields = request.fields
        known = self._fields_client
        if known is not None and known[0] is fields:
            return known[1]
        client = self._service.client(self._peer, fields.forwarded_for)
        self._fields_client = (fields, client)
        return client

    def _after_advance(self, last: Request | None) -> None:
        parser = self._parser
        if parser.idle:
            self._partial_since = 0.0
            self._in_body = False
            if last is not None:
                self._remember(last)
            elif self._repeat is not None and self._service.may_repeat(self._repeat.request):
                self._block = self._repeat.request.fields.block
            return
        if not self._partial_since or self._in_body is not parser.in_body:
            self._in_body = parser.in_body
            self._partial_since = self._monotonic()
        if parser.take_continue():
            self._continue_owed = True
        if self._continue_owed and not self._outbox:
            self._continue_owed = False
            self._transport.write(CONTINUE)

    def _remember(self, request: Request) -> None:
        """Let the next request with these fields take the short way."""
        service, repeat = self._service, self._repeat
        if request.method != b"GET" or request.body or not service.may_repeat(request):
            self._repeat = None
            return
        if repeat is None or repeat.request.fields is not request.fields:
            self._repeat = repeat = Exchange(service, self, request, self._client(request), 0.0)
            repeat.route = service.prepared_route
            repeat.extra = service.echo(request.fields)
        self._block = repeat.request.fields.block

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
            self._transport.write(answer)
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
        transport.write_eof()
        transport.resume_reading()

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > MAX_DROPPED:
            self._transport.abort()
