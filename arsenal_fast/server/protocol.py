"""One client's connection: octets in, exchanges open, answers out in order.

The only file that touches a client's transport. All framing is the parser's, all meaning the service's;
what is decided here is *when*: when to read on, when to write, when to close.

A keep-alive client repeats its header fields octet for octet, a proxy all but a few values. So a request that fits
the shape of the last one needs no parsing; and one that is recognised (by its line, or by its body) needs no handler
either: it takes the *short way*, a comparison, a look-up and its admission, and the same exchange is used again. A test
holds that this gives the answers of the plain way.

Closing is lingering (RFC 9112 9.6): our side is shut, what still comes is read and dropped for a moment,
then the socket is closed; otherwise a reset could destroy the answer on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, cast

from arsenal_fast.errors import MessageError
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.responses import CONTINUE
from arsenal_fast.http.shape import MAX_HEAD
from arsenal_fast.service.exchange import Exchange
from arsenal_fast.service.recognition import BATCH_LINE, VALIDATE_LINE

if TYPE_CHECKING:
    import re

    from arsenal_fast.http.shape import Fit, Shape
    from arsenal_fast.server.listener import Listener
    from arsenal_fast.service.batches import Batch
    from arsenal_fast.service.records import Record

MAX_UNANSWERED: Final = 32
"""Requests of one connection that may wait for their answer; then we stop reading (nginx and Envoy: 100)."""

LINGER: Final = 2.0
"""Seconds to drop what comes after our last answer."""

MAX_DROPPED: Final = 4 * 1024 * 1024
"""Octets dropped after our last answer: four bodies of the largest size."""

IDLE_GRACE: Final = 1.0
"""Seconds without a request after which a draining server closes a connection that is kept alive."""


SHAPES: Final = 32
"""Requests in a row whose shape is looked for before this connection is believed to have none."""


class Connection(asyncio.Protocol):
    """A client's connection to this worker."""

    __slots__ = (
        "_active",
        "_advancing",
        "_closing",
        "_continue_owed",
        "_dropped",
        "_eof",
        "_forwarded",
        "_idle_since",
        "_in_body",
        "_last",
        "_linger_until",
        "_listener",
        "_monotonic",
        "_outbox",
        "_parser",
        "_partial_since",
        "_peer",
        "_reflected",
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
        self._monotonic = service.monotonic
        self._parser = RequestParser(listener.limits)
        self._outbox: list[Exchange] = []  # an empty deque takes ten times what an empty list does
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._peer = ""
        self._last: Exchange = cast(Exchange, None)
        """The newest exchange, once there was one; the short way uses it again."""
        self._shape: Shape | None = None
        """That of the last request, while one that fits it needs no parsing."""
        self._shapes_left = SHAPES
        self._forwarded = False
        """The client of a request of this shape is told by its X-Forwarded-For."""
        self._reflected = b""
        """Lines that the origin of a request of this shape causes."""
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
        self._shape = None
        self._outbox.clear()
        # The exchange knows this connection: undone here, no memory waits for the collector of cycles.
        self._last = cast(Exchange, None)
        self._listener.closed(self)

    def data_received(self, data: bytes) -> None:
        self._active = True
        shape = self._shape
        if shape is not None and not self._outbox:
            if shape.fixed is None:
                if shape.bodiless:
                    found = shape.pattern(data)
                    if found is not None and len(data) <= MAX_HEAD:
                        self._take_line(shape, found, data)
                        return
                else:
                    fit = shape.match(data)
                    if fit is not None:
                        self._take_body(shape, fit, data)
                        return
            elif data.endswith(shape.fixed):
                line = data[: shape.cut]
                service = self._service
                record = service.prepared.young.get(line) or service.recognition.find(line)
                if record is not None:
                    exchange = self._last
                    if not record.guarded or service.may_answer(record, exchange.client):
                        exchange.octets = data
                        exchange.record = record
                        self._outbox.append(exchange)
                        service.admit_prepared(exchange)
                        return
        self._receive(data)

    def eof_received(self) -> bool:
        """Answer what was asked before the client half-closed, then close (RFC 9112 9.6)."""
        self._eof = True
        self._leave_short_way()
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
        first = outbox[0]
        if first is not exchange:
            waiting = cast(Exchange, exchange)
            waiting.answer, waiting.rest = answer, rest
            return
        while True:
            del outbox[0]
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
            first = outbox[0]
            if first.answer is None:
                break
            answer, rest = first.answer, first.rest
        if self._stalled or self._eof or self._continue_owed:
            self._resume()

    def answered_prepared(self, exchange: object, answer: bytes) -> None:
        """As ``answered``, in few steps where nothing else waits: an exchange with a record does not close."""
        outbox = self._outbox
        try:
            last = outbox.pop()
        except IndexError:
            return  # the client has gone
        if last is exchange and not outbox:
            try:  # _write, without the context manager, which costs more than the rest of this
                self._transport.write(answer)
            except RuntimeError:
                return
        else:
            outbox.append(last)
            self.answered(exchange, answer)

    def identify_again(self, exchange: Exchange) -> None:
        """Take the parsed request of an exchange as if it was new: its caller's token has expired."""
        self._shape = None
        exchange.client = self._service.client(self._peer, exchange.request.fields.forwarded_for)
        self._service.begin(exchange)

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
        """From now on each answer closes."""
        self._leave_short_way()

    def abort(self) -> None:
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Hold the time-outs; called about twice a second with the monotonic clock."""
        limits = self._listener.timeouts
        if self._shape is not None and self._last.client.expires <= self._service.now():
            self._shape = None  # the token that came with these fields has ended
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

    def _leave_short_way(self) -> None:
        """What is on it neither closes nor looks at what else there is to do, so it goes the plain way."""
        self._shape = None
        for exchange in self._outbox:
            if exchange.record is not None:
                exchange.recall(self._monotonic())

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
        self._shape = None
        service, parser, outbox = self._service, self._parser, self._outbox
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
                client = service.client(self._peer, request.fields.forwarded_for)
                self._open(Exchange(service, self, request, client, self._monotonic()))
        except MessageError as error:
            self._refuse(error.status, error.detail)
        finally:
            self._advancing = False
        if not self._closing:
            self._after_advance(opened)

    def _take_line(self, shape: Shape, found: re.Match[bytes], data: bytes) -> None:
        """Take a message of the shape of the last one, which has no body."""
        service = self._service
        line, forwarded_for, request_id = found.group(*shape.seen)
        exchange = self._last
        client = exchange.client
        if self._forwarded:
            client = service.forwarded.young.get(forwarded_for) or service.forwarded_client(self._peer, forwarded_for)
        record = service.prepared.young.get(line) or service.recognition.find(line)
        if record is None or (record.guarded and not service.may_answer(record, client)):
            self._take_plainly(shape, (line, forwarded_for, request_id, b"", found))
            return
        exchange.client = client
        # The shape lets pass only a request id that is echoed.
        exchange.extra = self._reflected + b"X-Request-Id: %b\r\n" % request_id if request_id else self._reflected
        exchange.octets = data
        exchange.record = record
        self._outbox.append(exchange)
        service.admit_prepared(exchange)

    def _take_body(self, shape: Shape, fit: Fit, data: bytes) -> None:
        """Take a message of the shape of the last one, which has a body, perhaps an empty one.

        An exchange that is used again for one without a body was opened for such a one, and is not ``stamped``.
        """
        service = self._service
        line, forwarded_for, request_id, body, _ = fit
        exchange = self._last
        client = exchange.client
        if self._forwarded:
            client = service.forwarded.young.get(forwarded_for) or service.forwarded_client(self._peer, forwarded_for)
        record: Record | Batch | None = None
        if line == VALIDATE_LINE:
            record = service.verdicts.young.get(body) or service.verdicts.get(body)
        elif line == BATCH_LINE:
            record = service.batches.young.get(body) or service.batches.get(body)
        if record is None:
            self._take_plainly(shape, fit)
            return
        exchange.client = client
        exchange.extra = self._reflected + b"X-Request-Id: %b\r\n" % request_id if request_id else self._reflected
        exchange.octets = data
        exchange.record = record
        exchange.stamped = True
        self._outbox.append(exchange)
        service.admit_prepared(exchange)

    def _take_plainly(self, shape: Shape, fit: Fit) -> None:
        """Go the plain way from here on with a message that need not be parsed."""
        service = self._service
        client = self._last.client
        if self._forwarded or client.token:  # a token is read again, and charged to the address where it is refused
            client = service.client(self._peer, fit[1] or None)
        opened = Exchange(service, self, shape.request(fit), client, self._monotonic())
        self._open(opened)
        if opened.refusal is None and not self._closing and not service.draining:
            self._shape = shape

    def _open(self, exchange: Exchange) -> None:
        self._last = exchange
        self._served = True
        self._outbox.append(exchange)
        if exchange.close:
            self._closing = True
        self._shape = None  # until it is known that the next request may look like this one
        self._service.begin(exchange)

    def _after_advance(self, opened: bool) -> None:
        """``opened``: a request was complete, so what is left in the parser is of a new one."""
        parser = self._parser
        if parser.idle:
            self._partial_since = 0.0
            self._in_body = False
            if opened and parser.untouched and self._shapes_left and self._service.may_repeat(self._last):
                self._look_for_shape(self._last)
            return
        if opened or not self._partial_since or self._in_body is not parser.in_body:
            self._in_body = parser.in_body
            self._partial_since = self._monotonic()
        if parser.take_continue():
            self._continue_owed = True
        if self._continue_owed and not self._outbox:
            self._continue_owed = False
            self._write(CONTINUE)

    def _look_for_shape(self, last: Exchange) -> None:
        """See whether requests like the last one can be told without parsing them."""
        shape = self._shape = self._listener.shapes.of(last.request)
        if shape is None:
            self._shapes_left -= 1
            return
        self._shapes_left = SHAPES
        fields = last.request.fields
        self._forwarded = (
            fields.forwarded_for is not None and not last.client.token and self._service.trusts(self._peer)
        )
        self._reflected = self._service.cors.reflected(fields.origin)

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
        self._shape = None
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
