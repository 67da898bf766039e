"""Turns of the event loop: how much of what clients have sent is begun in each, and what waits for the next.

A client may send thousands of requests at once, and thousands of clients may send one. So each connection begins as
many requests as cost ``OF_CONNECTION`` units when they arrive, as long as the turn has units left; the rest waits here.
What has just arrived, a handshake or a first request, goes before the rest of long pipelines, and has few units: who
sends little waits for all that have sent little, and never for those that have sent much.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

OF_CONNECTION: Final = 32
"""Units that one connection may cost in a turn. A request costs one unit (some 30 us), and its answer one more for
each ``1 << OCTETS`` octets; a heavy one costs HEAVY."""

OF_ARRIVAL: Final = 8
"""Units that a connection may cost when what it sent had to wait, before it waits again behind all others."""

OF_TURN: Final = 128
"""Units that all connections together may cost in a turn: about 5 ms."""

OCTETS: Final = 13
"""Binary logarithm of the octets of an answer that cost one unit: 8 KiB."""

HEAVY: Final = OF_CONNECTION

HANDSHAKE: Final = 16
"""Units of a step of a TLS handshake: 0.3 to 0.7 ms, most of it for the signature."""

DECRYPTED: Final = 15
"""Binary logarithm of the octets that cost one unit to decrypt: 32 KiB."""

HELD: Final = 4 * 1024 * 1024
"""Octets that may wait encrypted for a turn; what comes beyond is decrypted at once, and counts as received then."""


class Waiting(Protocol):
    """A connection that waits for its turn."""

    def take_turn(self, units: int) -> int:
        """Go on with what is here, for so many units or little more; return the units that it cost."""


class Turns:
    """The queue of one worker."""

    __slots__ = ("_arrivals", "_call_soon", "_held", "_queue", "_scheduled", "left")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._arrivals: deque[Waiting] = deque()
        self._queue: deque[Waiting] = deque()
        self._held = 0
        self._scheduled = False
        self.left = OF_TURN
        """Units that this turn has left; what arrives without any is to wait."""

    def arrive(self, waiting: Waiting) -> None:
        """Wait for the next turn with what has just come; nobody waits twice before its turn has come."""
        self._arrivals.append(waiting)
        self._run_soon()

    def hold(self, octets: int) -> bool:
        """Keep octets for the next turn if this one is used up and there is room for them, until ``release``."""
        if self.left > 0 or self._held + octets > HELD:
            return False
        self._held += octets
        return True

    def release(self, octets: int) -> None:
        """The turn of octets that were held has come."""
        self._held -= octets

    def join(self, waiting: Waiting) -> None:
        """Wait for a turn behind all others."""
        self._queue.append(waiting)
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
        self.left = OF_TURN
        try:
            # However many arrive, long pipelines get on.
            self._serve(self._arrivals, OF_ARRIVAL, OF_CONNECTION if self._queue else 0)
            self._serve(self._queue, OF_CONNECTION, 0)
        finally:
            if self.left < OF_TURN or self._arrivals or self._queue:
                self._run_soon()

    def _serve(self, queue: deque[Waiting], units: int, reserve: int) -> None:
        number = len(queue)
        while number and self.left > reserve:
            number -= 1
            self.left -= queue.popleft().take_turn(units)
