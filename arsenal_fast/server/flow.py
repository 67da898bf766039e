"""What a connection holds, how long it may take, and how it ends; the same for all requests.

What is held is counted with the worker's other connections: bytes that were received and not answered (``room.py``),
answers that are not read (``backlog.py``), rows in work (the service's gate). Time is the state's (``state.py``).

Closing is lingering (RFC 9112 9.6): our side is shut, what still comes is read and dropped for a moment,
then the socket is closed; otherwise a reset could destroy the response on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol, cast

from arsenal_fast.http.parser import RequestParser
from arsenal_fast.http.response import PendingResponse
from arsenal_fast.server.kernel import unacknowledged
from arsenal_fast.server.room import ReadDecision, Room
from arsenal_fast.server.state import ACTIVE, IDLE_GRACE_S, State, StateMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from arsenal_fast.api.app import App
    from arsenal_fast.api.context import RequestContext
    from arsenal_fast.api.fastpath.recognizer import Recognizer
    from arsenal_fast.http.limits import Limits
    from arsenal_fast.http.request import Request
    from arsenal_fast.ratelimit.client import Client
    from arsenal_fast.server.backlog import Backlog
    from arsenal_fast.server.bounds import Bounds

MAX_DROPPED: Final = 4 * 1024 * 1024
"""Bytes dropped after our last answer: four bodies of the largest size."""

NO_ROOM: Final = "The service has no room for the request now; try again in a second."

_LOOKED_AT: Final = (State.RESPONDING, State.STALLED)
"""States that last as long as the service takes."""


class Shared(Protocol):
    """What the connections of a worker share: the application, the limits, the sums of bytes."""

    app: App
    limits: Limits
    time_limits: Mapping[State, float]
    bounds: Bounds
    room: Room
    backlog: Backlog
    stopped: bool
    """Nothing new is accepted."""

    def count_time_out(self) -> None:
        """Count a connection that took too long."""


class Flow(asyncio.Protocol, StateMachine):
    """A connection without its requests."""

    __slots__ = (
        "_advancing",
        "_app",
        "_closing",
        "_dropped",
        "_eof",
        "_held",
        "_interim",
        "_kept",
        "_last",
        "_listener",
        "_monotonic",
        "_noted",
        "_other",
        "_parser",
        "_peer",
        "_ready",
        "_recognizer",
        "_served",
        "_services",
        "_stalled",
        "_starved",
        "_transport",
        "_unread",
        "_was_starved",
        "outbox",
    )

    def __init__(self, listener: Shared) -> None:
        super().__init__(listener.time_limits)
        self._listener = listener
        self._app = listener.app
        self._services = services = listener.app.services
        self._monotonic = services.monotonic
        self._parser = RequestParser(listener.limits)
        self.outbox: list[PendingResponse] = []  # an empty deque takes ten times what an empty list does
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._peer = ""
        self._last: RequestContext | None = None
        """The newest request that was parsed, once there was one."""
        self._recognizer: Recognizer | None = None
        """Recognises requests that look like the last one."""
        self._other: Recognizer | None = None
        """Recognises requests of another kind: a proxy sends GET and POST in turn."""
        self._served = False
        self._closing = False
        """No further request is taken."""
        self._eof = False
        """The client sends nothing more."""
        self._dropped = 0
        self._interim: PendingResponse | None = None
        """The place of a 100 (Continue) among the responses, until the body comes."""
        # What is not read, and why.
        self._advancing = False
        """Requests are being begun; a response that comes meanwhile changes nothing."""
        self._stalled = False
        """Requests may be waiting in the parser for room in the outbox, or for a turn."""
        self._starved = False
        """There is no room for what would be read."""
        self._was_starved = False
        """So it was, and nothing has been read since."""
        # What is held.
        self._kept = False
        """The room counts something of this connection."""
        self._held = 0
        """Bytes of bodies of requests in work."""
        self._ready = 0
        """Bytes of responses that wait for an earlier one."""
        self._noted = False
        """The backlog counts something of this connection."""
        self._unread: list[PendingResponse] | None = None
        """Those that were written and are not read; their rows stay in work."""

    def __repr__(self) -> str:
        return f"<Connection {self._peer} {self.state.name} unanswered={len(self.outbox)}>"

    @property
    def state(self) -> State:
        """What the connection does now. A recognised request changes nothing but the outbox."""
        if self.entered in (State.BACK_PRESSURED, State.LINGERING, State.CLOSED):
            return self.entered
        if self._stalled:
            return State.STALLED
        if self.outbox:
            return State.RESPONDING
        if not self._parser.idle:
            return State.READING_BODY if self._parser.in_body else State.READING_HEAD
        return State.IDLE if self._served or self.entered is not State.NEW else State.NEW

    @property
    def write(self) -> Callable[[bytes], None]:
        """The transport's ``write``: raises RuntimeError where the transport has just failed."""
        return self._transport.write

    @property
    def is_lost(self) -> bool:
        """Whether the client has disconnected."""
        return self.entered is State.CLOSED

    # Time.

    def sweep(self, now_s: float) -> None:
        """Look at the connection if its deadline has come; called about twice a second."""
        if now_s >= self.deadline_s or self._listener.stopped:
            self._look(now_s)

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
        if self.deadline_s == ACTIVE or state is not self.entered or state in _LOOKED_AT:
            self.enter(state, now_s)
        elif self.is_over(now_s, self._idle_limit()):
            self._time_out(state)

    def _idle_limit(self) -> float | None:
        """None: as the state has it."""
        if self._listener.stopped and self._services.draining and self.entered in (State.NEW, State.IDLE):
            return IDLE_GRACE_S
        return None

    def _time_out(self, state: State) -> None:
        if self._idle_limit() is None:
            self._listener.count_time_out()
        if state is State.NEW:
            self._end_unused()
        elif state is State.IDLE:
            self._linger()
        elif self._was_starved:
            self._refuse_for_room()
        else:
            self._refuse(408, "The request did not come in time.")

    # What is held.

    def _unsent(self) -> int:
        """Bytes that the client has not taken, the kernel's included."""
        return self._transport.get_write_buffer_size() + unacknowledged(self._transport)

    def _note_backlog(self) -> None:
        """Count the answers that wait in this connection for their client or for an earlier answer."""
        pressed = self.entered is State.BACK_PRESSURED
        size_bytes = self._ready + (self._transport.get_write_buffer_size() if pressed else 0)
        self._noted = size_bytes > 0
        self._listener.backlog.update(self, size_bytes)

    def _account(self, request: Request | None = None) -> bool:
        """Count what was received and is not answered, and stop reading where there is no room for more.

        ``request``: one with a large body that is about to begin. False: there is no room, and it is refused.
        """
        parser = self._parser
        size_bytes = self._held + (0 if parser.idle else parser.held)
        if request is not None:
            size_bytes += len(request.body)
        elif not size_bytes and not parser.in_body:
            if self._kept:
                self._kept = False
                self._listener.room.release(self)
                if self._starved:
                    self.read_on()
            return True
        self._kept = True
        verdict = self._listener.room.hold(self, self._payer(request), size_bytes, parser.missing)
        if verdict is ReadDecision.GO_ON:
            if self._starved:
                self.read_on()
        elif verdict is ReadDecision.WAIT or self._closing:
            self._starved = self._was_starved = True
            self._transport.pause_reading()
        else:
            self._refuse_for_room()
            return False
        return True

    def _refuse_for_room(self) -> None:
        self._services.metrics.connections_refused += 1
        self._refuse(503, NO_ROOM)

    def _payer(self, request: Request | None) -> bytes:
        """The key of the client for which something is held: of the unfinished message, if its head has come."""
        request = request or self._parser.unfinished
        if request is None and self._held and self._last is not None:
            request = self._last.request
        forwarded_for = None if request is None else request.fields.forwarded_for
        return self.address_client(forwarded_for).key_bytes

    def _written(self, pending: PendingResponse) -> None:
        """Let go of what a request holds: its body now, its rows when the client has read them."""
        if pending.held:
            self._held -= pending.held
            pending.drop_body()  # the connection keeps its last request
            if not self._advancing:
                self._account()
        if pending.place is None:
            return
        if self.entered is not State.BACK_PRESSURED:
            pending.leave()
        elif self._unread is None:
            self._unread = [pending]
        else:
            self._unread.append(pending)

    def _leave_unread(self) -> None:
        unread, self._unread = self._unread, None
        for pending in unread or ():
            pending.leave()

    def _forget(self) -> None:
        """Give up whatever waits for an answer, or to be read."""
        for pending in self.outbox:
            if pending.response is not None:
                pending.leave()
        self.outbox.clear()
        self._interim = None
        self._held = self._ready = 0
        self._parser.end()
        if self._kept:
            self._kept = False
            self._listener.room.release(self)

    def address_client(self, forwarded_for: bytes | None) -> Client:
        """The address that a request is charged to which comes with no good token."""
        return self._app.address_client(self._peer, forwarded_for)

    # Reading and writing.

    def read_on(self) -> None:
        """There is room again for what is received."""
        self._starved = False
        self._read_on()

    def _read_on(self) -> None:
        if not self._stalled and not self._starved and self.entered is not State.BACK_PRESSURED:
            self._transport.resume_reading()

    def _stall(self) -> None:
        self._stalled = True
        self._transport.pause_reading()

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the transport has just failed; connection_lost is on its way
            self._transport.write(data)

    # The end, and what is no answer to a request.

    def shed(self, answer: bytes) -> None:
        """Answer at once, and nothing else: there are too many connections."""
        self._closing = True
        self._write(answer)
        self._linger()

    def abort(self) -> None:
        self._transport.abort()

    def cut_off(self) -> None:
        """End at once: the unread answers of all clients take too much memory."""
        self._services.metrics.connections_cut += 1
        self._transport.abort()

    def _put_behind(self, response: bytes, *, close: bool = False) -> PendingResponse:
        """Give bytes that respond to no request a place behind the responses that are due."""
        place = PendingResponse(close=close)
        place.response = response
        self._ready += len(response)
        self.outbox.append(place)
        return place

    def _refuse(self, status: int, detail: str, origin: bytes | None = None) -> None:
        """Answer bytes that are no request, after all earlier answers, and close."""
        self._closing = True
        if self._parser.unfinished is not None:
            origin = self._parser.unfinished.fields.origin
        self._parser.end()
        answer = self._app.malformed(status, detail, origin)
        if self.outbox:
            self._put_behind(answer, close=True)
        else:
            self._write(answer)
            self._linger()

    def _linger(self) -> None:
        if self.entered is State.LINGERING:
            return
        self._enter_end()
        transport = self._transport
        if self._eof or not transport.can_write_eof():
            transport.close()
            return
        with contextlib.suppress(RuntimeError):  # as in _write
            transport.write_eof()
        transport.resume_reading()

    def _end_unused(self) -> None:
        """Close at once: nothing was answered that a reset could destroy."""
        self._enter_end()
        self._transport.close()

    def _enter_end(self) -> None:
        self._closing = True
        self._recognizer = self._other = None
        self._forget()
        self.enter(State.LINGERING, self._monotonic())
        self.since_s = self.deadline_s  # from then on what is not read counts

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > MAX_DROPPED:
            self._transport.abort()
