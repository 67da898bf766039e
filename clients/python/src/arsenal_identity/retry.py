"""When a call is repeated, and after what wait.

Every call may be repeated: the same request gives the same identity, a second revocation changes nothing, and an
identity with a drawn run whose answer was lost ends unused.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from arsenal_identity.errors import IdentityServiceError, NoAnswerError, ProblemError

PASSING: Final = frozenset({429, 502, 503, 504})
"""Statuses of problems that pass by themselves."""


@dataclass(frozen=True)
class Retry:
    """Bounds of repeating a call.

    Args:
        attempts: how often a request is sent at most, the first time included.
        max_wait_s: the longest wait before a repetition. Where the service's ``Retry-After`` is longer, the call fails
            at once, with ``retry_after_s`` in its error.
        base_wait_s: without a ``Retry-After``, the upper end of the first wait; each one after it may be twice as long.
        chance: a number from 0 to 1, which spreads these waits, so that many clients do not return together.
    """

    attempts: int = 3
    max_wait_s: float = 10.0
    base_wait_s: float = 0.2
    chance: Callable[[], float] = random.random

    def wait_s(self, attempt: int, error: IdentityServiceError) -> float | None:
        """Return the seconds to wait after this attempt (the first is 1), or None where the call fails."""
        if attempt >= self.attempts or not _passes(error):
            return None
        retry_after_s = error.retry_after_s if isinstance(error, ProblemError) else None
        if retry_after_s is not None:
            return retry_after_s if retry_after_s <= self.max_wait_s else None
        return min(self.max_wait_s, self.base_wait_s * 2.0 ** (attempt - 1)) * self.chance()


DEFAULT_RETRY: Final = Retry()
NO_RETRY: Final = Retry(attempts=1)
"""Sends each request once."""


def _passes(error: IdentityServiceError) -> bool:
    return isinstance(error, NoAnswerError) or (isinstance(error, ProblemError) and error.status in PASSING)
