"""What was changed of service tokens after they were minted: withdrawals, and limits in place of a token's own.

An amendment stands under the key of one token, or of a subject, whose withdrawal ends all of its tokens that were
issued until then. Stores, ledger and workers merge amendments by one rule (``prevails``), in any order and as often as
they like, and come to the same. No prefix of an identity has the colon of these keys.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

WITHDRAWN: Final = 0
"""The limit of an amendment that withdraws."""

LONGEST_DAYS: Final = 3650
"""Days that a service token lives at most: ten years. The secret should be rotated before."""

DEFAULT_DAYS: Final = 90
"""Days that a service token lives where nothing else is said."""

LONGEST_MS: Final = LONGEST_DAYS * 86_400_000

MAX_NUMBER: Final = 9_007_199_254_740_991
"""The largest number of an amendment: Redis's scripts hold every digit of it."""


class Amendment(NamedTuple):
    """A withdrawal, or another limit of one token.

    ``moment_ms``: when it was decided; of a subject, all tokens issued before it are withdrawn. ``rate_limit``:
    requests a window in place of the token's own, or WITHDRAWN. ``ends_ms``: from then on all tokens that it concerns
    have expired, and it may be forgotten.
    """

    moment_ms: int
    rate_limit: int
    ends_ms: int


def token_key(token_id: str) -> str:
    """Return the key of one token's amendment."""
    return f"token:{token_id}"


def subject_key(subject: str) -> str:
    """Return the key of the withdrawal of a subject's tokens."""
    return f"sub:{subject}"


def rank(amendment: Amendment) -> tuple[bool, int, int, int]:
    """Return the order of amendments of one key: a withdrawal is final, else the later one prevails.

    Of two limits of one moment the lower one prevails, so that all replicas choose the same.
    """
    moment_ms, rate_limit, ends_ms = amendment
    return rate_limit == WITHDRAWN, moment_ms, -rate_limit, ends_ms


def prevails(new: Amendment, held: Amendment | None) -> bool:
    """Whether a new amendment replaces the one that is held under its key."""
    return held is None or rank(new) > rank(held)


def _ignore(_keys: Mapping[str, Amendment]) -> None:
    """Do nothing."""


class Amendments:
    """The amendments that this worker knows, by key."""

    def __init__(self) -> None:
        self.held: dict[str, Amendment] = {}
        self.version = 0
        """Rises whenever amendments are learned."""
        self.on_change: Callable[[Mapping[str, Amendment]], None] = _ignore
        """Called with the amendments that are new."""

    def learn(self, amendments: Mapping[str, Amendment]) -> None:
        """Merge amendments from a store, the ledger or a request."""
        held = self.held
        new = {key: each for key, each in amendments.items() if prevails(each, held.get(key))}
        if new:
            held.update(new)
            self.version += 1
            self.on_change(new)

    def missing_from(self, others: Mapping[str, Amendment]) -> dict[str, Amendment]:
        """Return those that prevail over others, or that the others lack."""
        return {key: each for key, each in self.held.items() if prevails(each, others.get(key))}

    def rate_limit(self, token_id: str, subject: str, issued_s: int) -> int | None:
        """Return the limit that replaces a token's own, WITHDRAWN, or None: the token is as it was minted."""
        of_subject = self.held.get(subject_key(subject))
        if of_subject is not None and issued_s * 1000 < of_subject.moment_ms:
            return WITHDRAWN
        of_token = self.held.get(token_key(token_id))
        return None if of_token is None else of_token.rate_limit

    def withdrawn_before_ms(self, subject: str) -> int:
        """Return the moment before which all tokens of a subject are withdrawn; 0: none are."""
        of_subject = self.held.get(subject_key(subject))
        return 0 if of_subject is None else of_subject.moment_ms

    def prune(self, now_ms: int) -> None:
        """Forget what concerns expired tokens only."""
        self.held = {key: each for key, each in self.held.items() if each.ends_ms > now_ms}
