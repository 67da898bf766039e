"""The states of a connection, the moves between them, and how long each may last.

A connection has one deadline. It is the earliest moment at which looking at the connection is worthwhile, so that the
sweep over all connections is one comparison for each. Time is an argument (monotonic seconds).

``RESPONDING`` is not entered by a request on the fast path: it follows from its unanswered requests.
"""

from collections.abc import Mapping
from enum import Enum, auto
from math import inf
from typing import Final


class State(Enum):
    """What a connection does now."""

    NEW = auto()
    """Accepted; nothing of a request has come. A TLS handshake may be under way."""
    IDLE = auto()
    """Kept alive between two requests."""
    READING_HEAD = auto()
    READING_BODY = auto()
    RESPONDING = auto()
    """Requests are being answered."""
    STALLED = auto()
    """Requests have come that wait for room or for their turn; nothing is read."""
    BACK_PRESSURED = auto()
    """The client does not read its answers; nothing is read and no request begins."""
    LINGERING = auto()
    """The last answer is written and our side is shut; what still comes is dropped (RFC 9112 9.6)."""
    CLOSED = auto()


_TAKING: Final = frozenset(
    {State.IDLE, State.READING_HEAD, State.READING_BODY, State.RESPONDING, State.STALLED, State.BACK_PRESSURED}
)
_ENDING: Final = frozenset({State.LINGERING, State.CLOSED})

MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.NEW: _TAKING | _ENDING | {State.NEW},
    **dict.fromkeys(_TAKING, _TAKING | _ENDING),
    State.LINGERING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}
"""The states that may follow each state. A state of a connection that takes requests may follow itself: then its time
begins again, for another message."""

LINGER_S: Final = 2.0
"""Seconds to drop what comes after our last answer."""

IDLE_GRACE_S: Final = 1.0
"""Seconds without a request after which a server that has stopped listening closes a connection."""

ACTIVE: Final = 0.0
"""Deadline of a connection on which something has happened since the last look; it is looked at in the next sweep."""

LOOKS: Final = 8
"""Looks at a client's reading within the time for writing."""


def time_limits(
    *, header: float = 10.0, body: float = 30.0, keep_alive: float = 75.0, write: float = 30.0
) -> Mapping[State, float]:
    """Return the seconds that each state may last; 0 for one that is looked at in every sweep.

    ``header`` and ``body``: for the whole of it, however slowly the octets drip. ``header`` is also the time from
    accepting to a request's first octet, with the TLS handshake. ``write``: without progress of a client's reading.
    """
    return {
        State.NEW: header,
        State.IDLE: keep_alive,
        State.READING_HEAD: header,
        State.READING_BODY: body,
        State.RESPONDING: 0.0,
        State.STALLED: 0.0,
        State.BACK_PRESSURED: write,
        State.LINGERING: LINGER_S,
        State.CLOSED: inf,
    }


class StateMachine:
    """A connection's state as it was entered, since when, and the deadline."""

    __slots__ = ("deadline_s", "entered", "mark", "since_s", "time_limits")

    def __init__(self, time_limits: Mapping[State, float]) -> None:
        self.time_limits = time_limits
        self.entered = State.NEW
        self.since_s = 0.0
        """When the state was entered, or the client last read enough."""
        self.deadline_s = ACTIVE
        self.mark = 0
        """Octets that the client had not read at ``since_s``."""

    def enter(self, state: State, now_s: float) -> None:
        """Move to a state, whose time begins now."""
        assert state in MOVES[self.entered], f"{self.entered} does not lead to {state}"
        self.entered = state
        self.since_s = now_s
        self.deadline_s = now_s + self.time_limits[state]

    def is_over(self, now_s: float, limit_s: float | None = None) -> bool:
        """Whether the state has lasted its time; if not, the deadline is set to that moment."""
        limit_s = self.time_limits[self.entered] if limit_s is None else limit_s
        self.deadline_s = self.since_s + limit_s
        return now_s >= self.deadline_s

    def enter_writing(self, unread: int, now_s: float) -> None:
        """Move to BACK_PRESSURED; ``unread``: octets that the client has not read yet."""
        self.enter(State.BACK_PRESSURED, now_s)
        self.mark = unread
        self.deadline_s = now_s + self.time_limits[State.BACK_PRESSURED] / LOOKS

    def is_stuck(self, unread: int, now_s: float, min_rate: int) -> bool:
        """Whether the client has read too little for too long; if not, the deadline is set to the next look.

        It must read ``min_rate`` octets a second over the time for writing. A deadline since the last octet alone would
        let one octet a second hold a connection for ever.
        """
        limit_s = self.time_limits[State.BACK_PRESSURED]
        if self.mark - unread >= min_rate * limit_s:
            self.mark, self.since_s = unread, max(self.since_s, now_s)
        elif unread > self.mark:
            self.mark = unread  # further answers were written
        self.deadline_s = min(self.since_s + limit_s, now_s + limit_s / LOOKS)
        return now_s >= self.since_s + limit_s
