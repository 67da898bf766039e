"""Looks up the addresses of a host in a daemon thread.

A resolver whose servers are silent takes 20 seconds and more, and a look-up can't be cancelled. The end of uvloop and
that of the process wait for the threads of uvloop's own look-ups, so a worker would stay up that long after SIGTERM;
for a daemon thread nothing waits.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from arsenal_fast.stores.redis import errors


class Resolver:
    """Looks hosts up, each in one thread at a time: callers meanwhile get the result of the look-up that runs."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[Sequence[str] | str]] = {}

    async def addresses(self, host: str) -> Sequence[str] | str:
        """Return the addresses of a host, IPv6 and IPv4 in turn; or why there are none, in one sentence."""
        numeric = look_up(host, socket.AI_NUMERICHOST)
        if not isinstance(numeric, str):
            return numeric
        running = self._running.get(host)
        if running is None:
            running = self._running[host] = asyncio.get_running_loop().create_future()
            threading.Thread(target=self._work, args=(host, running), name="resolver", daemon=True).start()
        return await asyncio.shield(running)

    def _work(self, host: str, running: "asyncio.Future[Sequence[str] | str]") -> None:
        """Run in the thread."""
        found = look_up(host)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            running.get_loop().call_soon_threadsafe(self._finish, host, running, found)

    def _finish(self, host: str, running: "asyncio.Future[Sequence[str] | str]", found: Sequence[str] | str) -> None:
        del self._running[host]
        running.set_result(found)


def look_up(host: str, flags: int = 0) -> Sequence[str] | str:
    """Return the addresses of a host, or why there are none; waits for the resolver."""
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError) as error:
        return errors.of_connect(error)
    return in_turn((family, str(address[0])) for family, _, _, _, address in infos)


def in_turn(addresses: Iterable[tuple[int, str]]) -> list[str]:
    """Return addresses of several families in turn, so that one broken family does not use up the deadline."""
    families: dict[int, list[str]] = {}
    for family, address in addresses:
        families.setdefault(family, []).append(address)
    return [each for group in zip_longest(*families.values()) for each in group if each is not None]
