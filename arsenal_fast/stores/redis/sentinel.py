"""Finds the master of a service through its sentinels, and hears of a failover.

All sentinels are asked at once, and what most of them say comes first: one that was cut off says what was true once.
A wrong answer does no harm, since a connection must take a write before it is used. Each sentinel is listened to all
the time (``+switch-master``): the first that tells of a failover is believed, for the next attempt to connect.

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

SILENCE: Final = 2.0  # seconds after which a sentinel that is listened to gets a PING
RETRY: Final = 1.0  # seconds between attempts to listen to a sentinel

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
        self._told: Place | None = None  # where the last failover led, as each sentinel tells in turn
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listening: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Listen to each sentinel from now on."""
        self._listening = [self._spawn(self._listen(place)) for place in self._address.sentinels]

    async def close(self) -> None:
        """End the listening; connects in flight are waited for, never cancelled."""
        for task in self._listening:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timeout_s)

    async def masters(self) -> list[Place] | str:
        """Return where the master may be, the likeliest place first; or why that is not known, in one sentence."""
        asking = {self._spawn(self._ask(place)) for place in self._address.sentinels}
        majority = len(asking) // 2 + 1
        votes: Counter[Place] = Counter()
        fault = "no sentinel answers in time"
        while asking and not (votes and max(votes.values()) >= majority):
            done, asking = await asyncio.wait(asking, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
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

    async def _ask(self, sentinel: Place) -> Place | str:
        """Ask one sentinel for the master; returns why there is no answer as one sentence."""
        try:
            link = await self._link(sentinel)
            try:
                match await link.ask(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service):
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

    async def _listen(self, sentinel: Place) -> None:
        while True:
            try:
                link = await self._link(sentinel)
                try:
                    await link.ask(b"SUBSCRIBE", _CHANNEL)
                    while True:
                        self._hear(await link.next(SILENCE))
                finally:
                    link.close()
            except (OSError, ValueError):
                await asyncio.sleep(RETRY)  # why is told by ``masters``, if it matters

    def _hear(self, message: Reply) -> None:
        """Take one message: ``service old-host old-port new-host new-port``."""
        match message:
            case [b"message", _, bytes(text)]:
                told = text.split(b" ")
                if len(told) != 5 or told[0] != self._service or not _PORT.fullmatch(told[4]):
                    return
                place = Place(told[3].decode("ascii"), int(told[4]))
                if place != self._told and place.port <= LAST_PORT:
                    self._told = place
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
            reply = await link.ask(b"AUTH", *(each.encode("utf-8", "surrogateescape") for each in credentials))
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

    async def ask(self, *arguments: bytes) -> Reply:
        """Send one command and return its reply."""
        self._writer.write(pack(*arguments))
        return await self._read(self._timeout_s)

    async def next(self, silence_s: float) -> Reply:
        """Return the next message; after a silence the sentinel must answer a PING."""
        try:
            return await self._read(silence_s)
        except TimeoutError:
            return await self.ask(b"PING")

    def close(self) -> None:
        self._writer.transport.abort()

    async def _read(self, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds):
                while (reply := self._replies.gets()) is _MORE:
                    octets = await self._reader.read(4096)
                    if not octets:
                        raise ConnectionResetError
                    self._replies.feed(octets)
        except hiredis.ProtocolError:
            raise ValueError("it does not speak RESP.") from None
        return reply


def _close_late(connecting: "asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]") -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result()[1].transport.abort()
