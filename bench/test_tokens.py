"""Times the verification of good and bad tokens with two secrets: a bad signature is tried twice."""

from time import thread_time
from typing import Any

import pytest

from arsenal_fast.tokens.claims import Refusal
from tests.support import tokens

ROUNDS, REPEATS = 9, 20
KEYS = {"HS256": tokens.hs256_keys(previous=tokens.PREVIOUS), "EdDSA": tokens.eddsa_keys()}
GOOD = {
    "HS256 identity": tokens.GOOD_IDENTITY,
    "HS256 service": tokens.GOOD_SERVICE,
    "EdDSA identity": KEYS["EdDSA"].sign_identity(tokens.IDENTITY, tokens.LIFE),
}
TABLE = [("HS256", bad) for bad in tokens.BAD] + [("EdDSA", bad) for bad in tokens.BAD_EDDSA]
BAD = {f"{algorithm} {bad.kind}: {bad.name}": bad for algorithm, bad in TABLE}
pytestmark = pytest.mark.benchmark(timer=thread_time)


def verify(benchmark: Any, case: str, token: str) -> object:
    """Time it; returns what is found. ``case`` begins with algorithm and kind."""
    algorithm, kind = case.partition(":")[0].split()
    keys = KEYS[algorithm]
    function = keys.verify_identity if kind == "identity" else keys.verify_service
    return benchmark.pedantic(function, (token, tokens.NOW), rounds=ROUNDS, iterations=REPEATS)


@pytest.mark.parametrize("case", GOOD)
def test_good(benchmark: Any, case: str) -> None:
    assert not isinstance(verify(benchmark, case, GOOD[case]), Refusal)


@pytest.mark.parametrize("case", BAD)
def test_bad(benchmark: Any, case: str) -> None:
    assert verify(benchmark, case, BAD[case].token) is BAD[case].refusal
