"""One client's connection: octets in, exchanges open, answers out in order.

All framing is the parser's, all meaning the service's; what is decided here, and in ``flow.py``, is *when*: when to
read on, when to write, when to close. No other file decides about a client's transport.

A keep-alive client repeats its header fields octet for octet, a proxy all but a few values. So a request that fits
the shape of the last one needs no parsing; and one that is recognised (by its line, or by its body) needs no handler
either: it takes the *short way*, a comparison, a look-up and its admission, and the same exchange is used again. A test
holds that this gives the answers of the plain way.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from arsenal_fast.api.context import Exchange
from arsenal_fast.api.fastpath.response_cache import BATCH_LINE, VALIDATE_LINE
from arsenal_fast.errors import MessageError
from arsenal_fast.http.response import CONTINUE
from arsenal_fast.http.template import MAX_HEAD
from arsenal_fast.server.flow import Flow
from arsenal_fast.server.state import ACTIVE, State
from arsenal_fast.server.turns import HEAVY, OCTETS, OF_CONNECTION

if TYPE_CHECKING:
    import re

    from arsenal_fast.api.fastpath.cached_batch import Batch
    from arsenal_fast.api.fastpath.render import Record
    from arsenal_fast.http.template import Fit, Shape
    from arsenal_fast.server.listener import Listener

MAX_UNANSWERED: Final = 32
"""Requests of one connection that may wait for their answer; then we stop reading (nginx and Envoy: 100)."""

SMALL: Final = 4096
"""Octets of a body that is not counted while its request is in work."""

SHAPES: Final = 32
"""Requests in a row whose shape is looked for before this connection is believed to have none."""


class Connection(Flow):
    """A client's connection to this worker."""

    __slots__ = ("_forwarded", "_in_turns", "_reflected", "_shapes_left", "_spent")

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._shapes_left = SHAPES
        self._forwarded = False
        """The client of a request of this shape is told by its X-Forwarded-For."""
        self._reflected = b""
        """Lines that the origin of a request of this shape causes."""
        self._in_turns = False
        """Requests wait in the parser for a turn of the loop."""
        self._spent = 0
        """Units that the requests of this turn have cost."""

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._listener.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.enter(State.CLOSED, self._monotonic())
        self._closing = True
        self._shape = None
        self._forget()
        self._leave_unread()
        if self._noted:
            self._listener.backlog.update(self, 0)
        # The exchange knows this connection: undone here, no memory waits for the collector of cycles.
        self._last = cast(Exchange, None)
        self._listener.closed(self)

    def data_received(self, data: bytes) -> None:
        shape = self._shape
        if shape is not None and not self._outbox:
            self.deadline_s = ACTIVE
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
        if (self._outbox or self._stalled) and self._transport.can_write_eof():
            return True
        self._linger()
        return False

    def pause_writing(self) -> None:
        if self.entered in (State.BACK_PRESSURED, State.LINGERING):
            return
        self.enter_writing(self._unsent(), self._monotonic())
        self._transport.pause_reading()
        self._note_backlog()

    def resume_writing(self) -> None:
        self._leave_unread()
        if self.entered is State.BACK_PRESSURED:
            self.enter(State.RESPONDING, self._monotonic())
            self._note_backlog()
            self._resume()

    # What the service calls.

    def answered(self, exchange: object, answer: bytes, rest: bytes = b"") -> None:
        """Write the answer, and the rest of it, once all earlier ones are written."""
        outbox = self._outbox
        if not outbox:
            cast(Exchange, exchange).leave()
            return  # the client has gone
        first = outbox[0]
        if first is not exchange:
            waiting = cast(Exchange, exchange)
            waiting.answer, waiting.rest = answer, rest
            self._ready += len(answer) + len(rest)
            if self._ready > self._listener.bounds.unsent_of_connection // 4:
                self._note_backlog()
            return
        while True:
            del outbox[0]
            self._spent += (len(answer) + len(rest)) >> OCTETS
            try:
                self._transport.write(answer)
                if rest:
                    self._transport.write(rest)
            except RuntimeError:
                first.leave()
                return  # the transport has just failed; connection_lost is on its way
            if first.held or first.place is not None:
                self._written(first)
            if first.close:
                self._linger()
                return
            if not outbox:
                break
            first = outbox[0]
            if first.answer is None:
                break
            answer, rest = first.answer, first.rest
            self._ready -= len(answer) + len(rest)
        if self._noted:
            self._note_backlog()
        if self._stalled or self._eof:
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

    def drain(self) -> None:
        """From now on each answer closes."""
        self._leave_short_way()

    def take_turn(self) -> int:
        """Go on with the requests that wait; return the units that they cost."""
        self._in_turns = self._stalled = False
        self._spent = 0
        if not self._closing:
            self._advance()
        if not self._stalled and self.entered not in (State.LINGERING, State.CLOSED):
            self._resume()
        return max(self._spent, 1)

    # Requests.

    def _leave_short_way(self) -> None:
        """What is on it neither closes nor looks at what else there is to do, so it goes the plain way."""
        self._shape = None
        for exchange in self._outbox:
            if exchange.record is not None:
                exchange.recall(self._monotonic())

    def _receive(self, data: bytes) -> None:
        if self._closing:
            self._drop(data)
            return
        if self._interim is not None:
            self._withdraw_continue()
        self._spent = 0
        self._was_starved = False
        self._parser.feed(data)
        self._advance()

    def _resume(self) -> None:
        """Go on after an answer or a stall: requests that wait in the parser in their turn, then the socket."""
        if self._advancing or self._in_turns:
            return  # an answer came at once; the loop that opened its exchange goes on by itself
        if self._closing:
            self._transport.resume_reading()
        elif self._stalled:
            self._in_turns = True
            self._listener.turns.join(self)
        else:
            self._read_on()
            if self._eof and not self._outbox:
                self._linger()

    def _advance(self) -> None:
        """Open an exchange for every request that is complete, as far as there is room and time."""
        self._advancing = True
        self._shape = None
        service, parser, outbox = self._service, self._parser, self._outbox
        unsent_bound = self._listener.bounds.unsent_of_connection
        opened = False
        try:
            while not self._closing:
                if len(outbox) >= MAX_UNANSWERED or self.entered is State.BACK_PRESSURED or self._ready > unsent_bound:
                    self._stall()
                    break
                if self._spent >= OF_CONNECTION and not parser.idle:
                    self._stall()
                    self._in_turns = True
                    self._listener.turns.join(self)
                    break
                request = parser.next_request()
                if request is None:
                    break
                if len(request.body) > SMALL and not self._account(request):
                    break
                opened = True
                client = service.client(self._peer, request.fields.forwarded_for)
                exchange = Exchange(service, self, request, client, self._monotonic())
                self._open(exchange)
                self._spent += HEAVY if exchange.heavy else 1
        except MessageError as error:
            self._refuse(error.status, error.detail, error.origin)
        finally:
            self._advancing = False
        if not self._closing:
            self._after_advance(opened)
        if self._kept or self._held:
            self._account()

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
        request = shape.request(fit)
        if len(request.body) > SMALL and not self._account(request):
            return
        client = self._last.client
        if self._forwarded or client.token:  # a token is read again, and charged to the address where it is refused
            client = service.client(self._peer, fit[1] or None)
        opened = Exchange(service, self, request, client, self._monotonic())
        self._open(opened)
        if opened.refusal is None and not self._closing and not service.draining:
            self._shape = shape
        if self._held:
            self._account()

    def _open(self, exchange: Exchange) -> None:
        self._last = exchange
        self._served = True
        self._outbox.append(exchange)
        size = len(exchange.request.body)
        if size > SMALL:
            exchange.held = size
            self._held += size
        if exchange.close:
            self._closing = True
        self._shape = None  # until it is known that the next request may look like this one
        self._service.begin(exchange)

    def _after_advance(self, opened: bool) -> None:
        """``opened``: a request was complete, so what is left in the parser is of a new one."""
        parser = self._parser
        self.deadline_s = ACTIVE
        if parser.idle:
            if opened and parser.untouched and self._shapes_left and self._service.may_repeat(self._last):
                self._look_for_shape(self._last)
            return
        self._kept = True
        if self._stalled:
            return
        state = self.state
        if state is not State.RESPONDING and (opened or state is not self.entered):
            self.enter(state, self._monotonic())
        elif state is self.entered:
            self.is_over(0.0)  # its time goes on
        if parser.take_continue():
            if self._outbox:
                self._interim = self._put_behind(CONTINUE)
            else:
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

    def _withdraw_continue(self) -> None:
        """Who sends the body already does not wait to be told to."""
        if self._outbox and self._outbox[-1] is self._interim:
            del self._outbox[-1]
            self._ready -= len(CONTINUE)
        self._interim = None
