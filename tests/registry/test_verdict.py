"""The verdict, as a table of moments and records."""

import pytest

from arsenal_fast.identity.grammar import Identity, Malformed
from arsenal_fast.identity.validity import Life
from arsenal_fast.registry.verdict import REASONS, Status, judge
from arsenal_fast.tokens.claims import IdentityToken, Refusal

IDENTITY = Identity("player", "1", "book.com", "v1")
MALFORMED = Malformed("A sentence that says why.")
LIFE = Life(generated=1_000, expires=5_000)


@pytest.mark.parametrize(
    ("life", "now", "readable", "status"),
    [
        (LIFE, 1_000, True, Status.ACTIVE),
        (LIFE, 4_999, True, Status.ACTIVE),
        (LIFE, 5_000, True, Status.EXPIRED),
        (LIFE, 5_001, True, Status.EXPIRED),
        (LIFE, 10**15, True, Status.EXPIRED),
        # The store's clock is ahead of the caller's.
        (LIFE, 999, True, Status.ACTIVE),
        (LIFE, 0, True, Status.ACTIVE),
        # A known life counts, whether or not the shared state can be read now.
        (LIFE, 4_999, False, Status.ACTIVE),
        (LIFE, 5_000, False, Status.EXPIRED),
        (None, 1_000, True, Status.UNKNOWN),
        (None, 1_000, False, Status.UNVERIFIABLE),
    ],
)
def test_a_well_formed_identity_is_judged_by_what_is_known(
    life: Life | None, now: int, readable: bool, status: Status
) -> None:
    verdict = judge(IDENTITY, life, now, readable=readable)
    assert verdict == (status, status is Status.ACTIVE, REASONS[status], True, True)


# A token's (generated, expires in seconds), and the life and what is dead, as far as they are known.
OWN, EARLIER = IdentityToken(IDENTITY.id, 1_000, 5), IdentityToken(IDENTITY.id, 500, 4)
ELSE = IdentityToken("other-1@book.com/v1:id", 1_000, 5)
OVER, ALONE, NO_RECORD, ANOTHER = (
    "The token has expired.",
    "The token is of this service and has not expired; the shared state can't be read just now.",
    "The token is of this service, but there is no record of the identity to check it with.",
    "The token is of another identity.",
)


@pytest.mark.parametrize(
    ("token", "life", "now", "dead_before", "readable", "status", "reason"),
    [
        (None, LIFE, 2_000, 1_000, True, Status.ACTIVE, None),
        (None, LIFE, 2_000, 1_001, True, Status.REVOKED, None),
        (None, LIFE, 2_000, 1_001, False, Status.REVOKED, None),
        (None, LIFE, 9_000, 1_001, True, Status.REVOKED, None),  # revoked says more than expired
        (None, None, 2_000, 1_001, True, Status.UNKNOWN, None),
        (OWN, LIFE, 2_000, 0, True, Status.ACTIVE, None),
        (OWN, LIFE, 4_999, 1_000, True, Status.ACTIVE, None),
        (OWN, LIFE, 5_000, 0, True, Status.EXPIRED, OVER),
        (OWN, LIFE, 2_000, 1_001, True, Status.REVOKED, None),
        (OWN, LIFE, 9_000, 1_001, True, Status.REVOKED, None),
        (OWN, None, 2_000, 0, True, Status.UNVERIFIABLE, NO_RECORD),
        (OWN, None, 2_000, 0, False, Status.ACTIVE, ALONE),
        (OWN, None, 5_000, 0, False, Status.EXPIRED, OVER),
        (OWN, None, 2_000, 1_001, False, Status.REVOKED, None),
        (EARLIER, LIFE, 2_000, 0, True, Status.ACTIVE, None),
        (EARLIER, LIFE, 2_000, 500, True, Status.ACTIVE, None),
        (EARLIER, LIFE, 2_000, 501, True, Status.REVOKED, None),
        (EARLIER, LIFE, 4_000, 0, True, Status.EXPIRED, OVER),
        (EARLIER, LIFE, 3_999, 0, True, Status.ACTIVE, None),
        (OWN, Life(1_000, 1_500), 2_000, 0, True, Status.EXPIRED, None),  # the life is shorter than its token says
        (ELSE, LIFE, 2_000, 0, True, Status.MALFORMED, ANOTHER),
        (ELSE, None, 2_000, 0, False, Status.MALFORMED, ANOTHER),
        (ELSE, LIFE, 2_000, 9_999, True, Status.MALFORMED, ANOTHER),
        *((refusal, LIFE, 2_000, 0, True, Status.MALFORMED, refusal.sentence) for refusal in Refusal),
        (Refusal.SIGNATURE, None, 2_000, 0, False, Status.MALFORMED, Refusal.SIGNATURE.sentence),
    ],
)
def test_a_token_is_judged_by_what_it_says_and_by_what_is_known(
    token: IdentityToken | Refusal | None,
    life: Life | None,
    now: int,
    dead_before: int,
    readable: bool,
    status: Status,
    reason: str | None,
) -> None:
    verdict = judge(IDENTITY, life, now, readable=readable, dead_before=dead_before, token=token)
    assert verdict == (status, status is Status.ACTIVE, reason or REASONS[status], True, True)


def test_a_good_token_makes_no_identity_of_what_is_none() -> None:
    verdict = judge(MALFORMED, LIFE, 2_000, readable=True, token=OWN)
    assert verdict == (Status.MALFORMED, False, MALFORMED.reason, False, False)


@pytest.mark.parametrize("readable", [True, False])
def test_a_malformed_text_is_malformed_for_its_own_reason(readable: bool) -> None:
    verdict = judge(MALFORMED, None, 0, readable=readable)
    assert verdict == (Status.MALFORMED, False, MALFORMED.reason, False, False)


def test_every_status_has_a_sentence_of_its_own() -> None:
    assert set(REASONS) == set(Status)
    assert len(set(REASONS.values())) == len(Status)
    assert all(reason.endswith(".") and reason.count(". ") == 0 for reason in REASONS.values())


def test_the_words_are_those_of_the_api() -> None:
    assert [str(status) for status in Status] == [
        "active",
        "expired",
        "revoked",
        "unknown",
        "malformed",
        "unverifiable",
    ]
