"""The verdict, as a table of moments and of what is known."""

import pytest

from arsenal_fast.errors import InvalidIdentity
from arsenal_fast.identity.grammar import parse
from arsenal_fast.identity.life import Life
from arsenal_fast.identity.validate import REASONS, Status, judge

IDENTITY = parse("player-1@book.com/v1:id")
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


@pytest.mark.parametrize("readable", [True, False])
def test_a_malformed_text_is_malformed_for_its_own_reason(readable: bool) -> None:
    with pytest.raises(InvalidIdentity) as caught:
        parse("player-1@book.com")
    verdict = judge(caught.value, None, 0, readable=readable)
    assert verdict == (Status.MALFORMED, False, str(caught.value), False, False)


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
