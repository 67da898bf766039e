"""A cached batch is valid while each of its identities is fresh."""

import pytest

from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.fastpath.cached_batch import CachedBatch
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.http.response import ResponseHeads
from arsenal_fast.registry.cache import CachedIdentity

PIECES = (b'{"identities":[', b'"a",', b'"b"],"stamp":"')


def identity(number: int, fresh_until_s: int) -> CachedIdentity:
    """An identity that is to be renewed at that moment."""
    entry = CachedIdentity(f"player-{number}@a.example/v1:id")
    entry.fresh_until_s = fresh_until_s
    return entry


def at(now_s: float) -> ResponseClock:
    return ResponseClock(lambda: now_s, ResponseHeads(b""))


def batch(*fresh_until_s: int) -> tuple[CachedBatch, Endpoint, list[CachedIdentity]]:
    identities = [identity(number, moment) for number, moment in enumerate(fresh_until_s)]
    endpoint = Endpoint("POST", "/api/v1/identities", "issue")
    return CachedBatch(identities, PIECES, endpoint), endpoint, identities


@pytest.mark.parametrize(
    ("moments", "now_s", "fresh"),
    [((60, 90), 59.999, True), ((60, 90), 60.0, False), ((90, 60), 60.0, False), ((90, 90), 60.0, True)],
)
def test_it_is_stale_when_the_first_of_its_identities_is_to_be_renewed(
    moments: tuple[int, int], now_s: float, fresh: bool
) -> None:
    cached, _, _ = batch(*moments)
    clock = at(now_s)
    assert cached.render(clock) == (b"".join(PIECES) + clock.stamp() if fresh else None)


def test_it_is_stale_when_one_of_its_identities_is_forgotten() -> None:
    cached, endpoint, identities = batch(90, 90, 90)
    identities[1].forget()
    assert cached.render(at(1)) is None
    assert endpoint.further_lookups == 0


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_identity_but_the_first_is_a_further_look_up(count: int) -> None:
    cached, endpoint, _ = batch(*[90] * count)
    cached.render(at(1))
    cached.render(at(2))
    assert endpoint.further_lookups == 2 * (count - 1)


def test_it_weighs_more_than_its_pieces_and_with_each_identity() -> None:
    weights = [batch(*[90] * count)[0].size_bytes for count in (1, 2, 3)]
    assert weights[0] > sum(map(len, PIECES))
    assert weights[2] - weights[1] == weights[1] - weights[0] > 0


def test_nobody_needs_a_scope_for_it() -> None:
    assert batch(90)[0].required_scope is None
