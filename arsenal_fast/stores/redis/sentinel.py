"""Finds the master of a service through its sentinels, and follows failovers.

All sentinels are queried at once, and the answer that most of them give comes first: one that was cut off has an old
one. A wrong answer does no harm, since a connection must take a write before it is used. Each sentinel has a
subscription all the time (``+switch-master``): the first message of a failover gives the place for the next attempt.

As in connection.py no connect is cancelled. Nothing here is on the path of a request.
"""

import asyncio
import contextlib
import re
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import hiredis

from arsenal_fast.stores.redis import errors
from arsenal_fast.stores.redis.resolve import Resolver
from arsenal_fast.stores.redis.resp import Reply, error_code, pack
from arsenal_fast.stores.redis.url import Place, RedisAddress

SILENCE: Final = 2.0  # seconds without a message after which a sentinel gets a PING
RETRY: Final = 1.0  # seconds between attempts to subscribe

LAST_PORT: Final = 65_535

_CHANNEL: Final = b"+switch-master"
_PORT: Final = re.compile(rb"[1-9][0-9]{0,4}")
_MORE: Final = object()  # hiredis: the next reply is not complete yet

T = TypeVar("T")


class Sentinels:
    """The sentinels of one service.

    ``timeout_s``: of each connect and each reply. ``switched`` is called with the place of a new master.
    ``context``: returns that of TLS, or None without.
    """

    def __init__(
        self,
        address: RedisAddress,
        timeout_s: float,
        switched: Callable[[Place], None],
        context: Callable[[], ssl.SSLContext | None],
        resolver: Resolver,
    ) -> None:
        self._address = address
        self._service = address.service.encode("utf-8", "surrogateescape")
        self._timeout_s = timeout_s
        self._switched = switched
        self._context = context
        self._resolver = resolver
        self._last_switch: Place | None = None  # the new master of the last failover, which each sentinel announces
        self._tasks: set[asyncio.Task[Any]] = set()
        self._subscriptions: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Subscribe to each sentinel."""
        self._subscriptions = [self._spawn(self._subscribe(place)) for place in self._address.sentinels]

    async def close(self) -> None:
        """End the subscriptions; connects in flight are waited for, never cancelled."""
        for task in self._subscriptions:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timeout_s)

    async def masters(self) -> list[Place] | str:
        """Return where the master may be, the likeliest place first; or why that is not known, in one sentence."""
        queries = {self._spawn(self._query(place)) for place in self._address.sentinels}
        majority = len(queries) // 2 + 1
        votes: Counter[Place] = Counter()
        fault = "no sentinel answers in time"
        while queries and not (votes and max(votes.values()) >= majority):
            done, queries = await asyncio.wait(queries, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            for task in done:
                answer = task.result()
                if isinstance(answer, Place):
                    votes[answer] += 1
                else:
                    fault = answer
        return [place for place, _ in votes.most_common()] or fault

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _query(self, sentinel: Place) -> Place | str:
        """Return the master by one sentinel, or why there is no answer, in one sentence."""
        try:
            link = await self._link(sentinel)
            try:
                match await link.send(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service):
                    case [bytes(host), bytes(port)] if _PORT.fullmatch(port) and int(port) <= LAST_PORT:
                        return Place(host.decode("ascii"), int(port))
                    case None:
                        return "the sentinels know no master of this name"
                    case hiredis.ReplyError() as error:
                        return f"a sentinel can't be asked: {errors.of_reply(error_code(error))}"
                return "a sentinel says what is no address"
            finally:
                link.close()
        except (OSError, ValueError) as error:
            return f"no sentinel can be asked: {errors.of_connect(error)}"

    async def _subscribe(self, sentinel: Place) -> None:
        while True:
            try:
                link = await self._link(sentinel)
                try:
                    await link.send(b"SUBSCRIBE", _CHANNEL)
                    while True:
                        self._read_message(await link.next(SILENCE))
                finally:
                    link.close()
            except (OSError, ValueError):
                await asyncio.sleep(RETRY)  # ``masters`` returns the reason where no other sentinel answers

    def _read_message(self, message: Reply) -> None:
        """Read ``service old-host old-port new-host new-port``, and report a new master."""
        match message:
            case [b"message", _, bytes(text)]:
                words = text.split(b" ")
                if len(words) != 5 or words[0] != self._service or not _PORT.fullmatch(words[4]):
                    return
                place = Place(words[3].decode("ascii"), int(words[4]))
                if place != self._last_switch and place.port <= LAST_PORT:
                    self._last_switch = place
                    self._switched(place)

    async def _link(self, sentinel: Place) -> "_Link":
        """Connect and authenticate; OSError or ValueError where that fails."""
        connecting = self._spawn(self._connect(sentinel))
        try:
            await asyncio.wait({connecting}, timeout=self._timeout_s)
        finally:
            if not connecting.done():
                connecting.add_done_callback(_close_late)
        if not connecting.done():
            raise TimeoutError
        link = _Link(*connecting.result(), self._timeout_s)
        parameters = self._address.parameters
        credentials = [parameters[name] for name in ("sentinel_username", "sentinel_password") if name in parameters]
        if credentials:
            reply = await link.send(b"AUTH", *(each.encode("utf-8", "surrogateescape") for each in credentials))
            if isinstance(reply, hiredis.ReplyError):
                link.close()
                raise ValueError(f"{errors.of_reply(error_code(reply))}.")
        return link

    async def _connect(self, sentinel: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first address of a sentinel that can be connected to; OSError or ValueError without one."""
        context = self._context()
        name = sentinel.host if context else None
        found = await self._resolver.addresses(sentinel.host)
        if isinstance(found, str):
            raise ValueError(f"{found}.")
        *others, last = found
        for address in others:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(address, sentinel.port, ssl=context, server_hostname=name)
        return await asyncio.open_connection(last, sentinel.port, ssl=context, server_hostname=name)


class _Link:
    """One connection to a sentinel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._replies = hiredis.Reader(notEnoughData=_MORE)

    async def send(self, *arguments: bytes) -> Reply:
        """Send one command and return its reply."""
        self._writer.write(pack(*arguments))
        return await self._read(self._timeout_s)

    async def next(self, silence_s: float) -> Reply:
        """Return the next message; after a silence the sentinel must answer a PING."""
        try:
            return await self._read(silence_s)
        except TimeoutError:
            return await self.send(b"PING")

    def close(self) -> None:
        self._writer.transport.abort()

    async def _read(self, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                while (reply := self._replies.gets()) is _MORE:
                    data = await self._reader.read(4096)
                    if not data:
                        raise ConnectionResetError
                    self._replies.feed(data)
        except hiredis.ProtocolError:
            raise ValueError("it does not speak RESP.") from None
        return reply


def _close_late(connecting: "asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]") -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result()[1].transport.abort()
