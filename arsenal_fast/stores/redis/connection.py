"""One connection to Redis, kept alive.

``Stream`` is one transport: replies match commands first in, first out. ``Connection`` has at most one of them in
use, and opens the next when it fails (dial.py). Guarantees:

* ``send`` calls back exactly once: with the reply, or with None when there will be none. Without a usable
  connection that is at once, before ``send`` returns.
* A command unanswered at its deadline drops the connection, and every other command in flight on it gets None in
  the same moment. No late reply can answer another command: its stream is gone.
* An error that means an outage (errors.py) drops the connection too: after a fail-over only a new connection can
  reach the new master.
* ``healthy`` is set only after the opening commands, which end with a real write: a Redis that listens but loads,
  replicates or has no memory left does not count as usable.
* An attempt to connect has a deadline after which the next one begins; a late connection is closed unused.
* Pending commands are bounded by what callers send in one time-out; nothing is queued while away.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol, cast

import hiredis

from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.redis import errors
from arsenal_fast.stores.redis.dial import Dialer
from arsenal_fast.stores.redis.resp import Reply, error_code, is_noscript, outage, pack
from arsenal_fast.stores.redis.url import Place, RedisAddress

FIRST_DELAY: Final = 0.05  # seconds between the first attempts to reconnect; doubles up to
MAX_DELAY: Final = 0.5  # seconds: sharing is back within a second of Redis's return
STABLE: Final = 1.0  # seconds a connection must last for the next reconnect to begin at once
IDLE: Final = 1.0  # seconds of silence after which a PING is sent
MIN_CONNECT: Final = 0.5  # seconds, see _connect_timeout
GRACE: Final = 0.001  # seconds, see _look

_PING: Final = pack(b"PING")
_MORE: Final = object()  # hiredis: the next reply is not complete yet

logger = logging.getLogger(__name__)

OnReply = Callable[[Reply], None]


class Owner(Protocol):
    """Receives the reports of a stream."""

    counters: Counters
    handed_on: frozenset[str]

    def opened(self, stream: "Stream") -> None: ...
    def lost(self, stream: "Stream", reason: str) -> None: ...


class Stream(asyncio.Protocol):
    """One transport: matches replies to commands in order; ends at the first data that is no RESP."""

    def __init__(self, owner: Owner, attempt: int = 0, place: Place | None = None) -> None:
        self.attempt = attempt
        self.place = place
        self.pending: deque[tuple[float, float, OnReply]] = deque()  # deadline, sent, on_reply
        self.heard = False
        self.transport: asyncio.Transport | None = None
        self.gone = asyncio.Event()
        self._owner = owner
        self._dead = False
        self._reader = hiredis.Reader(notEnoughData=_MORE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._owner.opened(self)

    def send(self, command: bytes, on_reply: OnReply, deadline: float, now: float) -> None:
        self.pending.append((deadline, now, on_reply))
        if self.transport is not None:
            self.transport.write(command)

    def data_received(self, data: bytes) -> None:
        if self._dead:
            return
        self.heard = True
        now = monotonic()
        try:
            self._reader.feed(data)
            while not self._dead and (reply := self._reader.gets()) is not _MORE:
                self._answer(reply, now)
        except hiredis.ProtocolError:
            self._owner.lost(self, "it does not speak RESP")

    def _answer(self, reply: Reply, now: float) -> None:
        if not self.pending:
            self._owner.lost(self, "it sent a reply without a command")
            return
        _, sent, on_reply = self.pending.popleft()
        counters = self._owner.counters
        counters.replies += 1
        counters.round_trip(now - sent)
        if isinstance(reply, hiredis.ReplyError):
            code = outage(reply)
            if code is not None and code not in self._owner.handed_on:
                counters.outages += 1
                self.pending.appendleft((0.0, sent, on_reply))
                self._owner.lost(self, errors.of_reply(code))
                return
            if code is None and not is_noscript(reply):
                counters.failures += 1
        call(on_reply, reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._owner.lost(self, "the connection is lost")

    def kill(self) -> None:
        """Abort the transport; every command in flight gets None."""
        self._dead = True
        if self.transport is not None:
            self.transport.abort()
        pending, self.pending = self.pending, deque()
        for _, _, on_reply in pending:
            call(on_reply, None)


def call(on_reply: OnReply, reply: Reply) -> None:
    """Call back, and report an exception: it must not disturb the replies that follow."""
    try:
        on_reply(reply)
    except Exception as error:
        # No local name for the context: the error would hold this frame, which would hold the error.
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a callback of a Redis command failed", "exception": error}
        )


class Connection:
    """Sends commands over a usable connection, and reconnects when there is none.

    ``opening``: packed commands that every new connection must answer without an error before it is used.
    ``timeout``: seconds for a command. ``jitter``: a random number in [0, 1), so that many workers don't
    reconnect in step. ``on_return`` is called when Redis can be used again after an outage.
    """

    handed_on: frozenset[str] = frozenset()
    """The codes of outages that end no connection: the sender of the command gets the error."""
    stream_type: type[Stream] = Stream

    def __init__(
        self,
        address: RedisAddress,
        opening: Sequence[bytes],
        *,
        timeout: float,
        jitter: Callable[[], float],
        idle: float = IDLE,
    ) -> None:
        self.healthy = False
        self.on_return: Callable[[], None] | None = None
        self.counters = Counters()
        self.name = "Redis"  # in the log
        self.fault = ""  # why it is away, in words that may be shown
        self._address = address
        self._opening = tuple(opening)
        self._timeout = timeout
        self._idle = idle
        self._jitter = jitter
        self._loop: asyncio.AbstractEventLoop = cast(asyncio.AbstractEventLoop, None)  # until start()
        self._stream: Stream | None = None
        self._attempt = 0  # connects of earlier attempts are late
        self._failures = 0  # in a row
        self._told: set[str] = set()  # the reasons of this outage that were logged
        self._closed = False
        self._resolving = False
        self._ready_since = 0.0
        self._look_at = 0.0  # monotonic seconds at which _look_timer goes off
        self._second_look = False
        self._look_timer: asyncio.TimerHandle | None = None
        self._attempt_timer: asyncio.TimerHandle | None = None  # the attempt's deadline, or its beginning
        self._settled = asyncio.Event()  # the first attempt has succeeded or failed
        self._dialer = Dialer(address, self._connect_timeout, self._switched)

    def send(self, command: bytes, on_reply: OnReply, deadline: float | None = None) -> float:
        """Send one command; returns its deadline (monotonic seconds), for a repeat that must keep it."""
        stream = self._stream
        now = monotonic()
        if deadline is None:
            deadline = now + self._timeout
        if stream is None or not self.healthy:
            on_reply(None)
            return deadline
        self.counters.commands += 1
        stream.send(command, on_reply, deadline, now)
        if deadline < self._look_at:
            self._look_in(deadline - now)
        return deadline

    async def start(self) -> None:
        """Connect; waits at most one time-out for the first attempt: Redis may come later."""
        self.open()
        try:
            async with asyncio.timeout(self._timeout):
                await self._settled.wait()
        except TimeoutError:
            pass

    def open(self) -> None:
        """Connect, and wait for nothing."""
        self._loop = asyncio.get_running_loop()
        self._dialer.start()
        self._connect()

    async def close(self) -> None:
        """Close; commands in flight get None. Connects in flight are waited for, never cancelled."""
        self._closed = True
        stream, self._stream = self._stream, None
        self._stop_timers()
        self.healthy = False
        self._attempt += 1
        if stream is not None:
            stream.kill()
            await stream.gone.wait()
        await self._dialer.close(self._connect_timeout)

    # Connecting

    @property
    def _connect_timeout(self) -> float:
        """A round trip for SYN, one for the opening, and with TLS two more."""
        seconds = max(MIN_CONNECT, 2 * self._timeout)
        return 2 * seconds if self._address.tls else seconds

    def _connect(self) -> None:
        self._attempt_timer = self._loop.call_later(self._connect_timeout, self._overdue)
        # While a name is being resolved another look-up would only queue behind it.
        if not self._resolving:
            self._dialer.spawn(self._open())

    async def _open(self) -> None:
        self._resolving = True
        try:
            found = await self._dialer.find()
        finally:
            self._resolving = False
        attempt = self._attempt  # the current one, even if the look-up was begun for an earlier one
        if isinstance(found, str):
            self._failed(attempt, found)
            return
        fault = await self._dialer.connect(
            found, lambda place: self.stream_type(self, attempt, place), lambda: attempt == self._attempt
        )
        if fault:
            self._failed(attempt, fault)

    def _switched(self, place: Place) -> None:
        """Go to a master that the sentinels have promoted."""
        stream = self._stream
        if self._closed or (stream is not None and stream.place == place):
            return
        self._dialer.promoted = place
        if stream is not None:
            self.lost(stream, "the sentinels have named another master")
        else:
            self._attempt += 1
            self._stop_timers()
            self._connect()

    def opened(self, stream: Stream) -> None:
        """Send the opening commands over a new transport; it is usable after their last reply."""
        if stream.attempt != self._attempt or self._stream is not None or self._closed:
            stream.kill()
            return
        self._stream = stream
        now = monotonic()
        deadline = now + self._connect_timeout  # kept by _overdue
        for command in self._opening:
            stream.send(command, self._greeted, deadline, now)

    def _greeted(self, reply: Reply) -> None:
        stream = self._stream
        if stream is None or reply is None:
            return
        if isinstance(reply, hiredis.ReplyError):
            self.lost(stream, errors.of_reply(error_code(reply)))
        elif not stream.pending:
            self._welcome()

    def _welcome(self) -> None:
        self._stop_timers()
        self.healthy = True
        self.fault = ""
        self.counters.connects += 1
        self._ready_since = monotonic()
        self._settled.set()
        self._look_in(self._idle)
        if self._address.sentinels and self._stream is not None:
            logger.info("the master %s of Redis is %s", self._address.service, self._stream.place)
        if self._told:
            self._told.clear()
            logger.info("%s is back", self.name)
            if self.on_return is not None:
                self.on_return()

    # Failing

    def lost(self, stream: Stream, reason: str) -> None:
        """Drop a failed stream: its commands get None, and a reconnect begins."""
        if stream is not self._stream:
            return
        self._stream = None
        if self._address.tls and stream.gone.is_set() and not (self.healthy or stream.heard):
            # TLS 1.3: the alert for a missing or refused certificate comes after our handshake, if at all.
            reason += " before any answer: it may want another certificate of ours (ssl_certfile)"
        if self.healthy:
            self.healthy = False
            self.counters.disconnects += 1
            if monotonic() - self._ready_since >= STABLE:
                self._failures = 0
                self._dialer.begin_anew()
        self._again(reason)
        stream.kill()

    def _overdue(self) -> None:
        if self._stream is not None:
            self.lost(self._stream, "it accepts, but does not answer")
        else:
            self._again("no connection in time")

    def _failed(self, attempt: int, reason: str) -> None:
        if attempt == self._attempt and self._stream is None and not self._closed:
            self._again(reason)

    def _again(self, reason: str) -> None:
        self._attempt += 1
        self._stop_timers()
        self._settled.set()
        if reason not in self._told:  # refused at first, and then its certificate is not trusted
            self._told.add(reason)
            logger.warning("%s is unavailable: %s", self.name, reason)
        self.fault = reason
        self._attempt_timer = self._loop.call_later(self._delay(), self._connect)
        self._failures += 1

    def _delay(self) -> float:
        if self._failures == 0:
            return 0.0
        longest = min(MAX_DELAY, FIRST_DELAY * (1 << min(self._failures - 1, 10)))
        return longest * (1 + self._jitter()) / 2

    # Watching: one timer, for the deadline of the oldest command or the next PING

    def _look_in(self, seconds: float) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
        seconds = max(seconds, GRACE)
        self._look_at = monotonic() + seconds
        self._look_timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        stream = self._stream
        if stream is None:
            return
        if stream.pending:
            # Not simply the first: a repaired command keeps its deadline, and stands behind newer ones.
            self._look_at_deadline(stream, min(deadline for deadline, _, _ in stream.pending))
            return
        self._second_look = False
        self._look_in(self._idle)
        if stream.heard:
            stream.heard = False
        else:
            self.send(_PING, _ignore)

    def _look_at_deadline(self, stream: Stream, oldest: float) -> None:
        left = oldest - monotonic()
        if left > 0:
            self._second_look = False
            self._look_in(left)
        elif self._second_look:
            self.counters.timeouts += 1
            self.lost(stream, "it does not answer in time")
        else:
            # If our own loop was blocked, the replies wait in the socket: timers run before it is read.
            self._second_look = True
            self._look_in(GRACE)

    def _stop_timers(self) -> None:
        for timer in (self._look_timer, self._attempt_timer):
            if timer is not None:
                timer.cancel()
        self._look_timer = self._attempt_timer = None
        self._second_look = False


def _ignore(reply: Reply) -> None:
    """Ignore the reply to a PING: any reply will do."""
