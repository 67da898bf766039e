"""One client's connection: octets in, exchanges open, answers out in order.

The only file that decides about a client's transport. All framing is the parser's, all meaning the service's;
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
from math import inf
from typing import TYPE_CHECKING, Final, cast

from arsenal_fast.errors import MessageError
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.responses import CONTINUE
from arsenal_fast.http.shape import MAX_HEAD
from arsenal_fast.server.kernel import unacknowledged
from arsenal_fast.server.room import Verdict
from arsenal_fast.server.state import ACTIVE, IDLE_GRACE_S, LINGER_S, State, StateMachine
from arsenal_fast.server.turns import HEAVY, OCTETS, OF_CONNECTION
from arsenal_fast.service.exchange import Exchange
from arsenal_fast.service.recognition import BATCH_LINE, VALIDATE_LINE

if TYPE_CHECKING:
    import re

    from arsenal_fast.http.request import Request
    from arsenal_fast.http.shape import Fit, Shape
    from arsenal_fast.server.listener import Listener
    from arsenal_fast.service.batches import Batch
    from arsenal_fast.service.records import Record

MAX_UNANSWERED: Final = 32
"""Requests of one connection that may wait for their answer; then we stop reading (nginx and Envoy: 100)."""

LINGER: Final = LINGER_S
IDLE_GRACE: Final = IDLE_GRACE_S

MAX_DROPPED: Final = 4 * 1024 * 1024
"""Octets dropped after our last answer: four bodies of the largest size."""

SMALL: Final = 4096
"""Octets of a body that is not counted while its request is in work."""

SHAPES: Final = 32
"""Requests in a row whose shape is looked for before this connection is believed to have none."""


NO_ROOM: Final = "The service has no room for the request now; try again in a second."

_LOOKED_AT: Final = (State.RESPONDING, State.STALLED)
"""States that last as long as the service takes."""


class Connection(asyncio.Protocol, StateMachine):
    """A client's connection to this worker."""

    __slots__ = (
        "_advancing",
        "_closing",
        "_dropped",
        "_eof",
        "_forwarded",
        "_held",
        "_in_turns",
        "_interim",
        "_kept",
        "_last",
        "_listener",
        "_monotonic",
        "_noted",
        "_outbox",
        "_parser",
        "_peer",
        "_ready",
        "_reflected",
        "_served",
        "_service",
        "_shape",
        "_shapes_left",
        "_spent",
        "_stalled",
        "_starved",
        "_transport",
        "_unread",
        "_was_starved",
    )

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener.time_limits)
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
        self._served = False
        self._closing = False
        """No further request is taken."""
        self._eof = False
        """The client sends nothing more."""
        self._dropped = 0
        self._interim: Exchange | None = None
        """The place of a 100 (Continue) among the answers, until the body comes."""
        # What is not read, and why.
        self._advancing = False
        self._stalled = False
        """Requests may be waiting in the parser for room in the outbox, or for a turn."""
        self._in_turns = False
        """They wait for a turn."""
        self._spent = 0
        """Units that the requests of this turn have cost."""
        self._starved = False
        """There is no room for what would be read."""
        self._was_starved = False
        """So it was, and nothing has been read since."""
        # What is held.
        self._kept = False
        """The room counts something of this connection."""
        self._held = 0
        """Octets of bodies of requests in work."""
        self._ready = 0
        """Octets of answers that wait for an earlier one."""
        self._noted = False
        """The backlog counts something of this connection."""
        self._unread: list[Exchange] | None = None
        """Exchanges whose answer was written and is not read; their rows stay in work."""

    def __repr__(self) -> str:
        return f"<Connection {self._peer} {self.state.name} unanswered={len(self._outbox)}>"

    @property
    def state(self) -> State:
        """What the connection does now. A request on the short way changes nothing but the outbox."""
        if self.entered in (State.BACK_PRESSURED, State.LINGERING, State.CLOSED):
            return self.entered
        if self._stalled:
            return State.STALLED
        if self._outbox:
            return State.RESPONDING
        if not self._parser.idle:
            return State.READING_BODY if self._parser.in_body else State.READING_HEAD
        return State.IDLE if self._served else State.NEW

    @property
    def is_lost(self) -> bool:
        """Whether the client has gone."""
        return self.entered is State.CLOSED

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
        if self.entered is State.LINGERING:
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

    def cut_off(self) -> None:
        """End at once: the unread answers of all clients take too much memory."""
        self._service.metrics.connections_cut += 1
        self._transport.abort()

    def read_on(self) -> None:
        """There is room again for what is received."""
        self._starved = False
        self._read_on()

    def take_turn(self) -> int:
        """Go on with the requests that wait; return the units that they cost."""
        self._in_turns = self._stalled = False
        self._spent = 0
        if not self._closing:
            self._advance()
        if not self._stalled and self.entered is not State.CLOSED:
            self._resume()
        return max(self._spent, 1)

    def sweep(self, now_s: float) -> None:
        """Look at the connection if its deadline has come; called about twice a second."""
        if now_s >= self.deadline_s or self._listener.stopped:
            self._look(now_s)

    # Time.

    def _look(self, now_s: float) -> None:
        entered = self.entered
        if entered is State.BACK_PRESSURED:
            self._look_at_reader(now_s)
        elif entered is State.LINGERING:
            self._look_at_end(now_s)
        elif entered is not State.CLOSED:
            self._look_at_requests(now_s)

    def _look_at_reader(self, now_s: float) -> None:
        if self.is_stuck(self._unsent(), now_s, self._listener.bounds.min_rate):
            self._listener.count_time_out()
            self._transport.abort()
        else:
            self._note_backlog()

    def _look_at_end(self, now_s: float) -> None:
        unsent = self._transport.get_write_buffer_size()
        if now_s < self.since_s:
            return
        if not unsent or self.is_stuck(self._unsent(), now_s, self._listener.bounds.min_rate):
            self._transport.abort()
        else:
            self._noted = True
            self._listener.backlog.update(self, unsent)

    def _look_at_requests(self, now_s: float) -> None:
        """Follow what has happened since the last look, or end what has lasted too long."""
        state = self.state
        if self._shape is not None and self._last.client.expires <= self._service.now():
            self._shape = None  # the token that came with these fields has ended
        if self.deadline_s == ACTIVE or state is not self.entered or state in _LOOKED_AT:
            self.enter(state, now_s)
        elif self.is_over(now_s, self._idle_limit()):
            self._time_out(state)
        if self._shape is not None and self._last.client.expires < inf:
            self.deadline_s = min(self.deadline_s, now_s)  # the token is looked at in every sweep

    def _idle_limit(self) -> float | None:
        """None: as the state has it."""
        if self._listener.stopped and self._service.draining and self.entered in (State.NEW, State.IDLE):
            return IDLE_GRACE_S
        return None

    def _time_out(self, state: State) -> None:
        if state in (State.NEW, State.IDLE):
            self._linger()
        else:
            self._listener.count_time_out()
            if self._was_starved:
                self._refuse_for_room()
            else:
                self._refuse(408, "The request did not come in time.")

    # What is held, and what is written.

    def _unsent(self) -> int:
        """Octets that the client has not taken, the kernel's included."""
        return self._transport.get_write_buffer_size() + unacknowledged(self._transport)

    def _note_backlog(self) -> None:
        """Count the answers that wait in this connection for their client or for an earlier answer."""
        pressed = self.entered is State.BACK_PRESSURED
        octets = self._ready + (self._transport.get_write_buffer_size() if pressed else 0)
        self._noted = octets > 0
        self._listener.backlog.update(self, octets)

    def _account(self, request: Request | None = None) -> bool:
        """Count what was received and is not answered, and stop reading where there is no room for more.

        ``request``: one with a large body that is about to begin. False: there is no room, and it is refused.
        """
        parser = self._parser
        octets = self._held + (0 if parser.idle else parser.held)
        if request is not None:
            octets += len(request.body)
        elif not octets and not parser.in_body:
            if self._kept:
                self._kept = False
                self._listener.room.release(self)
                if self._starved:
                    self.read_on()
            return True
        self._kept = True
        verdict = self._listener.room.hold(self, self._payer(request), octets, parser.missing)
        if verdict is Verdict.GO_ON:
            if self._starved:
                self.read_on()
        elif verdict is Verdict.WAIT or self._closing:
            self._starved = self._was_starved = True
            self._transport.pause_reading()
        else:
            self._refuse_for_room()
            return False
        return True

    def _refuse_for_room(self) -> None:
        self._service.metrics.connections_refused += 1
        self._refuse(503, NO_ROOM)

    def _payer(self, request: Request | None) -> bytes:
        """The key of the client for which something is held: of the unfinished message, if its head has come."""
        request = request or self._parser.unfinished
        if request is None and self._held:
            request = self._last.request
        forwarded_for = None if request is None else request.fields.forwarded_for
        return self._service.client(self._peer, forwarded_for).octets

    def _written(self, exchange: Exchange) -> None:
        """Let go of what an exchange holds: its body now, its rows when the client has read them."""
        if exchange.held:
            self._held -= exchange.held
            exchange.held = 0
            exchange.request.body = b""  # the connection keeps its last exchange
            if not self._advancing:
                self._account()
        if exchange.place is None:
            return
        if self.entered is not State.BACK_PRESSURED:
            exchange.leave()
        elif self._unread is None:
            self._unread = [exchange]
        else:
            self._unread.append(exchange)

    def _leave_unread(self) -> None:
        unread, self._unread = self._unread, None
        for exchange in unread or ():
            exchange.leave()

    def _forget(self) -> None:
        """Give up whatever waits for an answer, or to be read."""
        for exchange in self._outbox:
            if exchange.answer is not None:
                exchange.leave()
        self._outbox.clear()
        self._interim = None
        self._held = self._ready = 0
        self._parser.end()
        if self._kept:
            self._kept = False
            self._listener.room.release(self)

    def _write(self, octets: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the transport has just failed; connection_lost is on its way
            self._transport.write(octets)

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

    def _stall(self) -> None:
        self._stalled = True
        self._transport.pause_reading()

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

    def _read_on(self) -> None:
        if not self._stalled and not self._starved and self.entered is not State.BACK_PRESSURED:
            self._transport.resume_reading()

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

    # The end, and what is no answer to a request.

    def _put_behind(self, answer: bytes, *, close: bool = False) -> Exchange:
        """Give octets a place behind the answers that are due; nothing of a request is known."""
        last = self._outbox[-1]
        place = Exchange(self._service, self, last.request, last.client, last.started)
        place.close = close
        place.answer = answer
        self._ready += len(answer)
        self._outbox.append(place)
        return place

    def _withdraw_continue(self) -> None:
        """Who sends the body already does not wait to be told to."""
        if self._outbox and self._outbox[-1] is self._interim:
            del self._outbox[-1]
            self._ready -= len(CONTINUE)
        self._interim = None

    def _refuse(self, status: int, detail: str, origin: bytes | None = None) -> None:
        """Answer octets that are no request, after all earlier answers, and close."""
        self._closing = True
        if self._parser.unfinished is not None:
            origin = self._parser.unfinished.fields.origin
        self._parser.end()
        answer = self._service.malformed(status, detail, origin)
        if self._outbox:
            self._put_behind(answer, close=True)
        else:
            self._write(answer)
            self._linger()

    def _linger(self) -> None:
        if self.entered is State.LINGERING:
            return
        self._closing = True
        self._shape = None
        self._forget()
        self.enter(State.LINGERING, self._monotonic())
        self.since_s = self.deadline_s  # from then on what is not read counts
        transport = self._transport
        if self._eof or not transport.can_write_eof():
            transport.close()
            return
        with contextlib.suppress(RuntimeError):  # as in _write
            transport.write_eof()
        transport.resume_reading()

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > MAX_DROPPED:
            self._transport.abort()
