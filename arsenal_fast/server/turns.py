"""Turns of the event loop: how much of what clients have sent is begun in each, and what waits for the next.

A client may send thousands of requests at once, and thousands of clients may send one. So each connection begins as
many requests as cost ``OF_CONNECTION`` units when they arrive, as long as the turn has units left; the rest waits here.
What has just arrived, a handshake or a first request, goes before the rest of long pipelines, and has few units: a
client that sends little never waits for those that have sent much. Clients take turns, by their addresses: one that has
a hundred connections keeps the others waiting no longer than with one.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, Protocol

OF_CONNECTION: Final = 32
"""Units that one connection may cost in a turn. A request costs one unit (some 30 us), and its answer one more for
each ``1 << UNIT_BITS`` bytes; a heavy one costs HEAVY."""

OF_ARRIVAL: Final = 8
"""Units that a connection may cost when what it sent had to wait, before it waits again behind all others."""

OF_TURN: Final = 128
"""Units that all connections together may cost in a turn: about 5 ms."""

OF_LONG_TURN: Final = 2048
"""The same where other work makes a turn of the loop long: as much time as that took, 60 ms at most. Thousands of busy
connections on the fast path took 50 ms of each turn, and a new one among them waited for seconds."""

UNITS_A_SECOND: Final = 33_000
"""Units that a worker works off in a second: 30 us each."""

UNIT_BITS: Final = 13
"""Binary logarithm of the bytes of an answer that cost one unit: 8 KiB."""

HEAVY: Final = OF_CONNECTION

HANDSHAKE: Final = 16
"""Units of a step of a TLS handshake: 0.3 to 0.7 ms, most of it for the signature."""

DECRYPTED: Final = 15
"""Binary logarithm of the bytes that cost one unit to decrypt: 32 KiB."""

HELD: Final = 4 * 1024 * 1024
"""Bytes that may wait encrypted for a turn; what comes beyond is decrypted at once, and counts as received then."""

HELD_ALWAYS: Final = 2048
"""Bytes of one connection that wait whatever others hold: a step of a handshake, which costs more than its bytes."""


class Waiting(Protocol):
    """A connection that waits for its turn."""

    def take_turn(self, units: int) -> int:
        """Go on with what is here, for so many units or little more; return the units that it cost."""


class _Queue:
    """Connections in the order of their coming for each client, and clients in turn."""

    __slots__ = ("_clients", "_new")

    def __init__(self) -> None:
        self._clients: OrderedDict[str, deque[Waiting]] = OrderedDict()
        self._new: list[tuple[str, Waiting]] = []
        """Those that have come since the last turn."""

    def __bool__(self) -> bool:
        return bool(self._clients or self._new)

    def append(self, address: str, waiting: Waiting) -> None:
        self._new.append((address, waiting))

    def begin_turn(self) -> None:
        """Let those take this turn that have come before it."""
        new, self._new = self._new, []
        for address, waiting in new:
            self._clients.setdefault(address, deque()).append(waiting)

    def pop(self) -> Waiting | None:
        """Return the next of this turn."""
        if not self._clients:
            return None
        address, queue = self._clients.popitem(last=False)
        waiting = queue.popleft()
        if queue:
            self._clients[address] = queue
        return waiting


class Turns:
    """What waits in one worker."""

    __slots__ = (
        "_arrivals",
        "_call_soon",
        "_ended_s",
        "_held",
        "_left_over",
        "_queue",
        "_scheduled",
        "_thread_time",
        "left",
    )

    def __init__(self, call_soon: Callable[[Callable[[], None]], object], thread_time: Callable[[], float]) -> None:
        self._call_soon = call_soon
        self._thread_time = thread_time
        """The loop's own seconds: however long the machine keeps it waiting, no turn gets longer for it."""
        self._ended_s = 0.0
        """When the last turn ended, if this one follows it without a pause; else 0."""
        self._left_over = 0
        """What was ``left`` then."""
        self._arrivals = _Queue()
        self._queue = _Queue()
        self._held = 0
        self._scheduled = False
        self.left = OF_TURN
        """Units that this turn has left; what arrives without any is to wait."""

    def arrive(self, waiting: Waiting, address: str) -> None:
        """Wait with what has just come; nobody waits twice before its turn has come."""
        self._arrivals.append(address, waiting)
        self._run_soon()

    def hold(self, size_bytes: int) -> bool:
        """Keep a connection's bytes for the next turn, until ``release``, if this one is used up and there is room."""
        if self.left > 0 or (size_bytes > HELD_ALWAYS and self._held + size_bytes > HELD):
            return False
        self._held += size_bytes
        return True

    def release(self, size_bytes: int) -> None:
        """The turn of bytes that were held has come."""
        self._held -= size_bytes

    def join(self, waiting: Waiting, address: str) -> None:
        """Wait for a later turn, behind what has just come."""
        self._queue.append(address, waiting)
        self._run_soon()

    def spend(self, units: int) -> None:
        """Count what was begun on its arrival."""
        self.left -= units
        self._run_soon()

    def _run_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        other_work = 0
        if self._ended_s:
            begun_on_arrival = self._left_over - self.left
            other_work = int((self._thread_time() - self._ended_s) * UNITS_A_SECOND) - begun_on_arrival
        self.left = units = min(max(OF_TURN, other_work), OF_LONG_TURN)
        self._ended_s = 0.0
        try:
            # However many arrive, long pipelines get on.
            self._serve(self._arrivals, OF_ARRIVAL, OF_CONNECTION if self._queue else 0)
            self._serve(self._queue, OF_CONNECTION, 0)
        finally:
            if self.left < units or self._arrivals or self._queue:
                self._ended_s, self._left_over = self._thread_time(), self.left
                self._run_soon()

    def _serve(self, queue: _Queue, units: int, reserve: int) -> None:
        queue.begin_turn()
        while self.left > reserve and (waiting := queue.pop()):
            cost = waiting.take_turn(units)  # which may spend more by itself
            self.left -= cost
