"""One client's connection: reads bytes, begins requests, writes their responses in order.

All framing is the parser's, all meaning the application's; what is decided here, and in ``flow.py``, is *when*: when to
read on, when to write, when to close. No other file decides about a client's transport.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol, cast

from arsenal_fast.api.context import RequestContext
from arsenal_fast.errors import MessageError
from arsenal_fast.http.response import CONTINUE, PendingResponse
from arsenal_fast.server.flow import Flow, Shared
from arsenal_fast.server.state import ACTIVE, State
from arsenal_fast.server.turns import HEAVY, OF_CONNECTION, UNIT_BITS, Turns

MAX_UNANSWERED: Final = 32
"""Requests of one connection that may wait for their response; then we stop reading (nginx and Envoy: 100)."""

SMALL: Final = 4096
"""Bytes of a body that is not counted while its request is in work."""

TRIES: Final = 32
"""Requests in a row for which a template is looked for before this connection is believed to have none."""


class Listener(Shared, Protocol):
    """What has accepted a connection and keeps it until it is closed."""

    turns: Turns

    def opened(self, connection: Connection) -> None:
        """Take a connection in, or shed it."""

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""


class Connection(Flow):
    """A client's connection to this worker."""

    __slots__ = ("_in_turns", "_left", "_tries_left")

    _listener: Listener

    def __init__(self, listener: Listener) -> None:
        super().__init__(listener)
        self._tries_left = TRIES
        self._in_turns = False
        """Requests wait in the parser for a turn of the loop."""
        self._left = 0
        """Units that the requests of this turn may still cost."""

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        self._listener.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.enter(State.CLOSED, self._monotonic())
        self._closing = True
        self._forget()
        self._leave_unread()
        if self._noted:
            self._listener.backlog.update(self, 0)
        # Both refer to this connection: undone here, no memory waits for the collector of cycles.
        self._last = self._recognizer = self._other = None
        self._listener.closed(self)

    def data_received(self, data: bytes) -> None:
        recognizer = self._recognizer
        if recognizer is not None and not self.outbox:
            self.deadline_s = ACTIVE
            if recognizer.recognize(data):
                return
            other = self._other
            if other is not None and other.recognize(data):
                if self._recognizer is recognizer:  # else the connection leaves the fast path
                    self._recognizer, self._other = other, recognizer if recognizer.is_small else None
                return
        self._receive(data)

    def eof_received(self) -> bool:
        """Respond to what came before the client half-closed, then close (RFC 9112 9.6)."""
        self._eof = True
        self.leave_fast_path()
        if (self.outbox or self._stalled) and self._transport.can_write_eof():
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

    # What the application calls.

    def respond(self, pending: PendingResponse, response: bytes, rest: bytes = b"") -> None:
        """Write a response, and the rest of it, once all earlier ones are written."""
        outbox = self.outbox
        if len(outbox) == 1 and pending.leaves_nothing and outbox[0] is pending:
            outbox.clear()
            try:  # contextlib.suppress costs more than the rest of this
                self._transport.write(response)
            except RuntimeError:
                return  # as in _write_due
        elif not outbox:
            pending.leave()  # the client has disconnected
        elif outbox[0] is pending:
            self._write_due(pending, response, rest)
        else:
            pending.response, pending.rest = response, rest
            self._ready += len(response) + len(rest)
            if self._ready > self._listener.bounds.unsent_of_connection // 4:
                self._note_backlog()

    def _write_due(self, first: PendingResponse, response: bytes, rest: bytes) -> None:
        """Write the first response and the ones behind it that are there."""
        outbox = self.outbox
        while True:
            del outbox[0]
            self._left -= (len(response) + len(rest)) >> UNIT_BITS
            try:
                self._transport.write(response)
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
            if first.response is None:
                break
            response, rest = first.response, first.rest
            self._ready -= len(response) + len(rest)
        if self._noted:
            self._note_backlog()
        if self._stalled or self._eof:
            self._resume()

    def replace(self, old: PendingResponse, new: PendingResponse) -> None:
        """Replace a pending response in the order; does nothing after the client has disconnected."""
        with contextlib.suppress(ValueError):
            self.outbox[self.outbox.index(old)] = new

    def take(self, context: RequestContext) -> None:
        """Begin a request that was recognised, and that the response cache does not answer."""
        if len(context.request.body) <= SMALL or self._account(context.request):
            self._begin(context)
            if self._held:
                self._account()
        self._listener.turns.spend(HEAVY if context.heavy else 1)

    def leave_fast_path(self) -> None:
        """Parse the next request, and take the one that waits through its handler: it may have to close."""
        self._recognizer = self._other = None
        for pending in tuple(self.outbox):
            pending.leave_fast_path()

    def is_last(self, pending: PendingResponse) -> bool:
        """Say whether ``pending`` ends the connection, if the application wants it to end.

        True makes it so: no further request is taken. It never is while more of the client's bytes are here.
        """
        if self.outbox and self.outbox[-1] is pending and self._parser.idle:
            self._closing = True
            return True
        return False

    # What the listener calls.

    def drain(self) -> None:
        """From now on each response closes."""
        self.leave_fast_path()

    def take_turn(self, units: int) -> int:
        """Go on with the requests that wait; return the units that they cost."""
        self._in_turns = self._stalled = False
        self._left = units
        if not self._closing:
            self._advance()
        if not self._stalled and self.entered not in (State.LINGERING, State.CLOSED):
            self._resume()
        return max(units - self._left, 1)

    # Requests.

    def _set_aside(self) -> None:
        """Recognise nothing until the next request is parsed."""
        if self._recognizer is not None:
            if self._recognizer.is_small:
                self._other = self._recognizer
            self._recognizer = None

    def _receive(self, data: bytes) -> None:
        if self._closing:
            self._drop(data)
            return
        if self._interim is not None:
            self._withdraw_continue()
        self._was_starved = False
        self._parser.feed(data)
        turns = self._listener.turns
        if turns.left > 0 and not self._in_turns:
            self._left = OF_CONNECTION
            self._advance()
            turns.spend(OF_CONNECTION - self._left)
        else:
            self._wait_to_begin()

    def _wait_to_begin(self) -> None:
        """Begin what has come in the next turn: others have used up this one."""
        self.deadline_s = ACTIVE
        self._set_aside()  # what comes next stands behind this
        self._stall()
        if not self._in_turns:
            self._in_turns = True
            self._listener.turns.arrive(self, self._peer)
        if self._parser.held > SMALL:
            self._kept = True
            self._account()

    def _resume(self) -> None:
        """Go on after a response or a stall: requests that wait in the parser in their turn, then the socket."""
        if self._advancing or self._in_turns:
            return  # a response came at once; the loop that began its request goes on by itself
        if self._closing:
            self._transport.resume_reading()
        elif self._stalled:
            self._in_turns = True
            self._listener.turns.join(self, self._peer)
        else:
            self._read_on()
            if self._eof and not self.outbox:
                self._linger()

    def _advance(self) -> None:
        """Begin every request that is complete, as far as there is room and time."""
        self._advancing = True
        self._set_aside()
        parser, outbox = self._parser, self.outbox
        unsent_bound = self._listener.bounds.unsent_of_connection
        begun = False
        try:
            while not self._closing:
                if len(outbox) >= MAX_UNANSWERED or self.entered is State.BACK_PRESSURED or self._ready > unsent_bound:
                    self._stall()
                    break
                if self._left <= 0 and not parser.idle:
                    self._stall()
                    self._in_turns = True
                    self._listener.turns.join(self, self._peer)
                    break
                request = parser.next_request()
                if request is None:
                    break
                if len(request.body) > SMALL and not self._account(request):
                    break
                begun = True
                client = self.address_client(request.fields.forwarded_for)
                context = RequestContext(self._app, self, request, client, self._monotonic())
                self._begin(context)
                self._left -= HEAVY if context.heavy else 1
        except MessageError as error:
            self._refuse(error.status, error.detail, error.origin)
        finally:
            self._advancing = False
        if not self._closing:
            self._after_advance(begun)
        if self._kept or self._held:
            self._account()

    def _begin(self, context: RequestContext) -> None:
        self._last = context
        self._served = True
        self.outbox.append(context)
        size = len(context.request.body)
        if size > SMALL:
            context.held = size
            self._held += size
        if context.close:
            self._closing = True
        self._app.begin(context)

    def _after_advance(self, begun: bool) -> None:
        """``begun``: a request was complete, so what is left in the parser is of a new one."""
        parser = self._parser
        self.deadline_s = ACTIVE
        if parser.idle:
            if begun and parser.untouched and self._tries_left and self._last is not None:
                self._recognizer = self._app.recognizer(self._last, self._peer)
                self._tries_left = TRIES if self._recognizer is not None else self._tries_left - 1
            return
        self._kept = True
        if self._stalled:
            return
        state = self.state
        if state is not State.RESPONDING and (begun or state is not self.entered):
            self.enter(state, self._monotonic())
        elif state is self.entered:
            self.is_over(0.0)  # its time goes on
        if parser.take_continue():
            if self.outbox:
                self._interim = self._put_behind(CONTINUE)
            else:
                self._write(CONTINUE)

    def _withdraw_continue(self) -> None:
        """Take back a 100 that was not written yet: the body comes already."""
        if self.outbox and self.outbox[-1] is self._interim:
            del self.outbox[-1]
            self._ready -= len(CONTINUE)
        self._interim = None
