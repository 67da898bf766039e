"""What tokens cost: one signature for each new life, one verification for each token that was not seen before.

`test_no_bad_token_is_slower_than_ten_good_ones` prints each ratio and their worst; it counts for itself, so
it says the same with and without --benchmark-enable.
"""

from statistics import median
from time import perf_counter_ns
from typing import Any

import pytest

from arsenal_fast.identity.token import IdentityToken, Refusal, ServiceToken
from arsenal_fast.jwt_keys import Keys
from arsenal_fast.service.verified_tokens import VerifiedTokens
from tests.support.tokens import (
    BAD,
    BAD_EDDSA,
    GOOD_IDENTITY,
    GOOD_SERVICE,
    IDENTITY,
    LIFE,
    NOW,
    PREVIOUS,
    eddsa_keys,
    hs256_keys,
)

HS256, EDDSA, ROTATING = hs256_keys(), eddsa_keys(), hs256_keys(previous=PREVIOUS)
GOOD_EDDSA = EDDSA.sign_identity(IDENTITY, LIFE)

ROUNDS, REPEATS = 9, 20


def test_sign_hs256(benchmark: Any) -> None:
    assert benchmark(HS256.sign_identity, IDENTITY, LIFE) == GOOD_IDENTITY


def test_sign_eddsa(benchmark: Any) -> None:
    assert benchmark(EDDSA.sign_identity, IDENTITY, LIFE) == GOOD_EDDSA


def test_verify_a_good_hs256_token(benchmark: Any) -> None:
    assert isinstance(benchmark(HS256.verify_identity, GOOD_IDENTITY, NOW), IdentityToken)


def test_verify_a_good_eddsa_token(benchmark: Any) -> None:
    assert isinstance(benchmark(EDDSA.verify_identity, GOOD_EDDSA, NOW), IdentityToken)


def test_verify_a_good_service_token(benchmark: Any) -> None:
    assert isinstance(benchmark(HS256.verify_service, GOOD_SERVICE, NOW), ServiceToken)


def test_verify_a_good_service_token_of_the_previous_secret(benchmark: Any) -> None:
    keys = hs256_keys(PREVIOUS, previous="q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8l9z0")
    assert isinstance(benchmark(keys.verify_service, GOOD_SERVICE, NOW), ServiceToken)


def test_refuse_a_changed_token(benchmark: Any) -> None:
    assert benchmark(ROTATING.verify_service, GOOD_SERVICE[:-4] + "AAAA", NOW) is Refusal.SIGNATURE


def test_refuse_the_longest_unsigned_token(benchmark: Any) -> None:
    (longest,) = (bad.token for bad in BAD if bad.name == "as long as may be, unsigned")
    assert benchmark(ROTATING.verify_service, longest, NOW) is Refusal.SIGNATURE


def test_refuse_a_megabyte(benchmark: Any) -> None:
    assert benchmark(HS256.verify_service, "A" * 1_000_000, NOW) is Refusal.OVERSIZED


def test_find_a_verified_token(benchmark: Any) -> None:
    verified = VerifiedTokens(HS256)
    octets = GOOD_SERVICE.encode()
    verified.verify(octets, NOW)
    assert isinstance(benchmark(verified.verify, octets, NOW), ServiceToken)


def _cost(keys: Keys, kind: str, token: str) -> float:
    """Microseconds, the median of some rounds."""
    verify = keys.verify_identity if kind == "identity" else keys.verify_service
    rounds = []
    for _ in range(ROUNDS):
        start = perf_counter_ns()
        for _ in range(REPEATS):
            verify(token, NOW)
        rounds.append((perf_counter_ns() - start) / REPEATS / 1000)
    return median(rounds)


def test_no_bad_token_is_slower_than_ten_good_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """While two secrets verify, so that each bad signature is tried twice."""
    good = {
        ("HS256", "identity"): _cost(ROTATING, "identity", GOOD_IDENTITY),
        ("HS256", "service"): _cost(ROTATING, "service", GOOD_SERVICE),
        ("EdDSA", "identity"): _cost(EDDSA, "identity", GOOD_EDDSA),
    }
    rows = [("HS256", ROTATING, bad) for bad in BAD] + [("EdDSA", EDDSA, bad) for bad in BAD_EDDSA]
    ratios = sorted(
        (_cost(keys, bad.kind, bad.token) / good[algorithm, bad.kind], algorithm, bad.kind, bad.name)
        for algorithm, keys, bad in rows
    )
    with capsys.disabled():
        print()
        for (algorithm, kind), cost in good.items():
            print(f"good {algorithm} {kind} token: {cost:.1f} us")
        for ratio, *words in reversed(ratios[-12:]):
            print(f"{ratio:5.2f} of a good one: {' '.join(words)}")
        print(f"{ratios[len(ratios) // 2][0]:5.2f} the median of {len(ratios)}")
    assert ratios[-1][0] < 10
