"""Helpers of the tests of tokens and of callers."""

from tests.support.rig import KEYS, START, Answer
from tests.support.tokens import hs256_keys

ID = "/api/v1/id?prefix=player&run=1"

LIMITS = "/api/v1/limits"

DAY = 86_400  # seconds


def good(*scopes: str, subject: str = "sports-book", rate_limit: int = 1000, begun: float = START) -> str:
    return "Bearer " + KEYS.mint_service(subject, scopes, rate_limit, 1, begun)


GOOD = good("issue", "revoke", "audit")

FOREIGN = "Bearer " + hs256_keys().mint_service("sports-book", ["issue"], 1000, 1, START)

EXPIRED = good("issue", begun=START - DAY)


def remaining(answer: Answer) -> int:
    return int(answer.headers["x-ratelimit-remaining"])
