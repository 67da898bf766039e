"""Finds Redis and opens transports to it.

* Each attempt looks the name up anew, or queries the sentinels (sentinel.py).
* It tries the addresses one after the other without waiting long for the one before; the first that connects is used.
  The next attempt begins with another address: one that connects may still be of no use.
* A connect in flight is never cancelled (uvloop issue 645: answers crossed between connections).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from arsenal_fast.stores.redis import errors
from arsenal_fast.stores.redis.resolve import Resolver
from arsenal_fast.stores.redis.sentinel import Sentinels
from arsenal_fast.stores.redis.tls import context_of
from arsenal_fast.stores.redis.url import Place, RedisAddress

MAX_CONNECTS: Final = 256  # in flight: the kernel gives a SYN up after 127 s, and a few go out each second
STAGGER: Final = 0.25  # seconds at most that an address has before the next one is tried as well (RFC 8305)

T = TypeVar("T")
Target = tuple[Place, str]
"""A place, and one address of its host."""


class Dialer:
    """Opens transports to the Redis of an address; ValueError with one sentence for files of TLS that are no use.

    ``timeout_s``: of an attempt. ``switched`` is called with the place of a new master by the sentinels.
    """

    def __init__(self, address: RedisAddress, timeout_s: float, switched: Callable[[Place], None]) -> None:
        self._context = context_of(address)
        self.promoted: Place | None = None
        """The master that the sentinels have just named: for the next attempt."""
        self._address = address
        self._timeout_s = timeout_s
        self._resolver = Resolver()
        self._sentinels: Sentinels | None = None
        if address.sentinels:
            self._sentinels = Sentinels(address, timeout_s / 2, switched, lambda: self._context, self._resolver)
        self._attempts = 0  # since a connection was last of use
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Subscribe to the sentinels, where there are any."""
        if self._sentinels is not None:
            self._sentinels.start()

    async def close(self, timeout_s: float) -> None:
        """Wait for connects in flight."""
        if self._sentinels is not None:
            await self._sentinels.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def begin_anew(self) -> None:
        """Let the next attempt begin with the first address."""
        self._attempts = 0

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run it as a task that ``close`` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def find(self) -> Sequence[Target] | str:
        """Return where Redis may be, in the order to try; or why that is not known."""
        targets: list[Target] = []
        fault = ""
        try:
            self._context = context_of(self._address)  # anew, for renewed certificates
        except ValueError as error:
            return errors.of_connect(error)
        places = await self._masters()
        if isinstance(places, str):
            return places
        for place in places:
            found = await self._resolve(place)
            if isinstance(found, str):
                fault = found
            else:
                targets += [(place, host) for host in found]
        if not targets:
            return fault
        first = self._attempts % len(targets)
        self._attempts += 1
        return targets[first:] + targets[:first]

    async def _masters(self) -> list[Place] | str:
        promoted, self.promoted = self.promoted, None
        if self._sentinels is None:
            return [Place(self._address.path or self._address.host, self._address.port)]
        return await self._sentinels.masters() if promoted is None else [promoted]

    async def _resolve(self, place: Place) -> Sequence[str] | str:
        """Return the addresses of the host, or the path of the socket; or why there are none."""
        return [self._address.path] if self._address.path else await self._resolver.addresses(place.host)

    async def connect(
        self,
        targets: Sequence[Target],
        protocol: Callable[[Place], asyncio.Protocol],
        is_wanted: Callable[[], bool],
    ) -> str:
        """Connect to one of the targets; returns why they can't be reached, or an empty text.

        ``protocol`` makes the protocol of a transport. No more is tried once the attempt is no longer wanted.
        """
        if len(self._tasks) >= MAX_CONNECTS:
            return "no connection in time"
        untried = deque(targets)
        stagger_s = min(STAGGER, self._timeout_s / (len(targets) + 1))
        connecting: set[asyncio.Task[str]] = set()
        fault = ""
        while (untried or connecting) and is_wanted():
            if untried:
                connecting.add(self.spawn(self._open(*untried.popleft(), protocol)))
            done, connecting = await asyncio.wait(
                connecting, timeout=stagger_s if untried else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                fault = task.result()
                if not fault:
                    return ""
        return fault

    async def _open(self, place: Place, host: str, protocol: Callable[[Place], asyncio.Protocol]) -> str:
        loop, context = asyncio.get_running_loop(), self._context
        try:
            if self._address.path:
                await loop.create_unix_connection(lambda: protocol(place), host)
            else:
                name = place.host if context else None
                await loop.create_connection(
                    lambda: protocol(place), host, place.port, ssl=context, server_hostname=name
                )
        except OSError as error:
            return errors.of_connect(error)
        return ""
