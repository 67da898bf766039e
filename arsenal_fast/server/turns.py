"""Turns of the event loop for connections that have more requests than fit into one.

A client may send thousands of requests at once. Each connection handles as many as cost ``OF_CONNECTION`` units when
they arrive; the rest waits here, first come first served, behind what others have sent meanwhile.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

OF_CONNECTION: Final = 32
"""Units that one connection may cost in a turn. A request costs one unit (some 30 us), and its answer one more for
each ``1 << OCTETS`` octets; a heavy one costs HEAVY."""

OF_TURN: Final = 128
"""Units that all waiting connections together may cost in a turn: about 5 ms."""

OCTETS: Final = 13
"""Binary logarithm of the octets of an answer that cost one unit: 8 KiB."""

HEAVY: Final = OF_CONNECTION


class Waiting(Protocol):
    """A connection that waits for its turn."""

    def take_turn(self) -> int:
        """Go on with the requests that are here; return the units that they cost."""


class Turns:
    """The queue of one worker."""

    __slots__ = ("_call_soon", "_queue", "_scheduled")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._queue: deque[Waiting] = deque()
        self._scheduled = False

    def join(self, waiting: Waiting) -> None:
        """Wait for the next turn; nobody joins twice before its turn has come."""
        self._queue.append(waiting)
        self._run_soon()

    def _run_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        queue = self._queue
        left, number = OF_TURN, len(queue)
        try:
            while number and left > 0:
                number -= 1
                left -= queue.popleft().take_turn()
        finally:
            if queue:
                self._run_soon()
