"""The listening socket of a worker, its connections, and how both come to an end.

Accepting is the loop's. Here are the bounds (how many connections, how long they may take), the sweep that
holds all time-outs with one timer, and the drain: stop listening, serve what the kernel had accepted
already, let every connection end with an answer that says so.

Out of descriptors, libuv accepts and closes instead of spinning; before that happens ``max_connections``
sheds with a 503 that clients can read. The sweep sees and counts it.

With TLS a connection is one from accepting on: its handshake is bounded as what it is, a client that has not asked yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from arsenal_fast.http.parser import Limits
from arsenal_fast.server.backlog import Backlog
from arsenal_fast.server.bounds import Bounds
from arsenal_fast.server.connection import Connection
from arsenal_fast.server.kernel import has_descriptors
from arsenal_fast.server.room import Room
from arsenal_fast.server.state import State
from arsenal_fast.server.tls import Handshakes, TlsTransport
from arsenal_fast.server.turns import Turns

if TYPE_CHECKING:
    from arsenal_fast.api.app import App

log = logging.getLogger(__name__)

BACKLOG: Final = 4096
"""Connections the kernel may hold for us; it caps this at net.core.somaxconn (4096 since Linux 5.4)."""

ACCEPTED: Final = 8
"""Connections of a socket accepted in a turn of the loop at most: libuv (since 1.45) takes one for each handle, so a
socket has this many. With one, a burst of connections waits in the kernel for as many turns. Each handle more adds 3 us
of CPU to an idle worker's accept."""

SWEEP: Final = 0.5
"""Seconds between sweeps: how late a time-out may come."""

UNFINISHED: Final = 4
"""Of the connections that there may be, the part that may be within a TLS handshake: so the memory that the budget
has for connections is enough."""

SPARE_DESCRIPTORS: Final = 64
"""Descriptors kept free for Redis, logs, the ledger, TLS files and connections that are being shed."""


class Listener:
    """Listens, counts, sweeps, drains."""

    def __init__(
        self,
        app: App,
        *,
        limits: Limits,
        time_limits: Mapping[State, float],
        max_connections: int,
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
        main: bool = True,
    ) -> None:
        """``main``: it also looks after what the listeners of a worker share: rows in work, descriptors."""
        self.app = app
        self.limits = limits
        self.time_limits = time_limits
        self.bounds = bounds
        self.room = Room(bounds.received, bounds.received_of_client)
        self.backlog = Backlog(bounds.unsent)
        self.turns = Turns(app.services.call_soon, time.thread_time)
        self.handshakes = Handshakes(max(max_connections // UNFINISHED, 1), self._count_shed)
        self.stopped = False
        """Set once nothing new is accepted."""
        self._main = main
        self._max_connections = max_connections
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._sockets: Sequence[socket.socket] = ()
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._has_descriptors = True
        self._empty: asyncio.Event = asyncio.Event()

    async def start(self, listening: Sequence[socket.socket], tls: ssl.SSLContext | None = None) -> None:
        """Accept connections of bound sockets."""
        loop = asyncio.get_running_loop()
        self._sockets, self._tls = listening, tls
        handles = [*listening, *(each.dup() for each in listening for _ in range(ACCEPTED - 1))]
        self._servers = [await loop.create_server(self._protocol, sock=each, backlog=BACKLOG) for each in handles]
        self._sweeper = loop.call_later(SWEEP, self._sweep, loop)

    async def stop(self, deadline: float) -> bool:
        """Stop listening, end every connection after its last answer.

        ``deadline``: loop time at which what is left is cut off. Returns whether nothing had to be cut.
        """
        loop = asyncio.get_running_loop()
        await self._stop_listening()
        await self._emptied(deadline)
        clean = not self._connections
        for connection in tuple(self._connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._emptied(loop.time() + 1.0)  # connection_lost is called in the next turns of the loop
        return clean

    def drain(self) -> None:
        """From now on every answer closes its connection; listening goes on until :meth:`stop`."""
        for connection in self._connections:
            connection.drain()

    # What connections call.

    def opened(self, connection: Connection) -> None:
        """Take a connection in, or shed it."""
        metrics = self.app.services.metrics
        connections = self._connections
        connections.add(connection)
        metrics.connections_accepted += 1
        metrics.connections_open += 1
        excess = len(connections) - self._max_connections
        if excess > 0:
            self._count_shed()
            if excess > SPARE_DESCRIPTORS // 2:
                connection.abort()
            else:
                connection.shed(self.app.overloaded())

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.app.services.metrics.connections_open -= 1
        if not self._connections:
            self._empty.set()

    def count_time_out(self) -> None:
        self.app.services.metrics.connections_timed_out += 1

    # Inside.

    def _count_shed(self) -> None:
        self.app.services.metrics.connections_shed += 1

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeper = loop.call_later(SWEEP, self._sweep, loop)
        now = self.app.services.monotonic()
        if self._main:
            self.app.services.gate.sweep(now)
            self._look_for_descriptors()
        for connection in tuple(self._connections):
            connection.sweep(now)

    def _look_for_descriptors(self) -> None:
        """Count and log that none is left, which libuv hides: it closes what it accepts then."""
        had, self._has_descriptors = self._has_descriptors, has_descriptors()
        if not self._has_descriptors:
            self.app.services.metrics.descriptors_exhausted += 1
        if had and not self._has_descriptors:
            log.error("no file descriptor is left, new connections are closed unserved: raise the limit of open files")
        elif self._has_descriptors and not had:
            log.info("there are file descriptors again")

    def _protocol(self) -> asyncio.Protocol:
        connection = Connection(self)
        return connection if self._tls is None else TlsTransport(self._tls, connection, self.turns, self.handshakes)

    async def _emptied(self, deadline: float) -> None:
        """Wait until no connection is left, not beyond the deadline."""
        if self._connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._empty.wait()

    async def _stop_listening(self) -> None:
        """Close the sockets, but first serve what clients believe to be connected already."""
        self.stopped = True
        waiting = [listening.dup() for listening in self._sockets]
        for server in self._servers:
            server.close()
        for listening in self._sockets:
            listening.close()
        self._servers, self._sockets = [], ()
        accepted = [connection for listening in waiting for connection in _accept_all(listening)]
        loop = asyncio.get_running_loop()
        for connection in accepted:
            with contextlib.suppress(OSError):  # it has gone
                await loop.connect_accepted_socket(self._protocol, connection)


def _accept_all(listening: socket.socket) -> list[socket.socket]:
    """Return the connections that the kernel has accepted already, and close the socket."""
    listening.setblocking(False)
    accepted: list[socket.socket] = []
    with listening:
        while True:
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                return accepted
            except ConnectionAbortedError:
                continue
            except OSError as error:
                name = errno.errorcode.get(error.errno or 0)
                log.warning("connections waiting at the end could not be served: %s", name)
                return accepted
            connection.setblocking(False)
            accepted.append(connection)
