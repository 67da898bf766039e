"""Service tokens are verified once and then found by their bytes, in bounded memory, until they end."""

import pytest

from arsenal_fast.tokens.cache import VerifiedTokens
from arsenal_fast.tokens.claims import Refusal, ServiceToken


class Verifier:
    """A stub in the place of the keys: bytes of digits are a token that ends at that second."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def verify_service(self, token: str, now: float) -> ServiceToken | Refusal:
        self.asked.append(token)
        if not token.isdecimal():
            return Refusal.SIGNATURE
        end = int(token)
        return ServiceToken("bot", frozenset(), 1, end) if now < end else Refusal.EXPIRED


@pytest.fixture
def verifier() -> Verifier:
    return Verifier()


def test_a_token_is_verified_once(verifier: Verifier) -> None:
    verified = VerifiedTokens(verifier.verify_service)
    first = verified.verify(b"100", 50)
    assert first == ServiceToken("bot", frozenset(), 1, 100)
    assert verified.verify(b"1" + b"00", 99.9) is first
    assert verifier.asked == ["100"]


def test_a_known_token_still_ends(verifier: Verifier) -> None:
    verified = VerifiedTokens(verifier.verify_service)
    verified.verify(b"100", 50)
    assert verified.verify(b"100", 100) is Refusal.EXPIRED
    assert len(verified) == 0
    assert verified.verify(b"100", 100) is Refusal.EXPIRED
    assert verifier.asked == ["100", "100"]


def test_a_refused_token_is_not_remembered(verifier: Verifier) -> None:
    verified = VerifiedTokens(verifier.verify_service)
    for _ in range(3):
        assert verified.verify(b"forged", 0) is Refusal.SIGNATURE
    assert len(verified) == 0
    assert len(verifier.asked) == 3


def test_what_is_remembered_is_bounded(verifier: Verifier) -> None:
    verified = VerifiedTokens(verifier.verify_service, capacity=10)
    for end in range(100, 1100):
        verified.verify(b"%d" % end, 0)
        assert len(verified) <= 20


def test_bad_tokens_push_no_good_one_out(verifier: Verifier) -> None:
    verified = VerifiedTokens(verifier.verify_service, capacity=10)
    verified.verify(b"100", 0)
    for number in range(1000):
        verified.verify(b"bad%d" % number, 0)
    verified.verify(b"100", 0)
    assert verifier.asked.count("100") == 1


@pytest.mark.parametrize("octets", [b"", b"\xff\xfe", b"\0", b"\xc3\xa9" * 5000])
def test_any_octets_may_come(octets: bytes, verifier: Verifier) -> None:
    assert VerifiedTokens(verifier.verify_service).verify(octets, 0) is Refusal.SIGNATURE
    assert verifier.asked == [octets.decode("latin-1")]
