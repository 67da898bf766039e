"""The cached keys of an issuer: how often they are fetched, and for how long they are used."""

from typing import Any

from arsenal_fast.oidc.issuer_keys import INTERVAL_S, LIFE_S, MAX_WAITING, SURVIVES_S, IssuerKeys, Missing
from tests.oidc.test_key_set import EC, jwk


class Bench:
    """Keys whose fetches the test answers."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.fetches: list[Any] = []
        self.found: list[Any] = []
        self.keys = IssuerKeys("https://a.example", lambda _, done: self.fetches.append(done), lambda: self.now_s)

    def find(self, kid: str) -> None:
        self.keys.find(kid, lambda found: self.found.append(found if isinstance(found, Missing) else found["kid"]))

    def answer(self, *kids: str) -> None:
        self.fetches.pop()({"keys": [jwk(EC, kid=kid) for kid in kids]} if kids else None)

    def take(self) -> list[Any]:
        found, self.found = self.found, []
        return found


def test_requests_wait_for_one_fetch_and_get_their_keys_together() -> None:
    bench = Bench()
    for kid in ("a", "b", "a"):
        bench.find(kid)
    assert len(bench.fetches) == 1
    assert bench.take() == []
    bench.answer("a", "c")
    assert bench.take() == ["a", Missing.UNKNOWN, "a"]


def test_a_known_key_is_used_for_its_life_and_then_fetched_again() -> None:
    bench = Bench()
    bench.find("a")
    bench.answer("a")
    bench.now_s += LIFE_S - 1
    bench.find("a")
    assert (bench.take(), bench.fetches) == (["a", "a"], [])
    bench.now_s += 1
    bench.find("a")
    bench.answer("b")
    assert bench.take() == [Missing.UNKNOWN], "a withdrawn key is good no longer"


def test_unknown_keys_cause_one_fetch_in_an_interval() -> None:
    bench = Bench()
    bench.find("a")
    bench.answer("a")
    bench.now_s += INTERVAL_S - 1
    for number in range(100):
        bench.find(f"{number}")
    assert (bench.take()[1:], bench.fetches) == ([Missing.UNKNOWN] * 100, [])
    bench.now_s += 1
    bench.find("x")
    assert len(bench.fetches) == 1


def test_while_the_issuer_is_away_old_keys_are_used_for_a_day() -> None:
    bench = Bench()
    bench.find("a")
    bench.answer("a")
    bench.now_s += SURVIVES_S - 1
    bench.find("a")
    bench.answer()
    bench.now_s += 1
    bench.find("a")
    assert bench.take() == ["a", "a", Missing.AWAY]
    bench.now_s += INTERVAL_S
    bench.find("a")
    bench.fetches.pop()({"keys": []})
    assert bench.take() == [Missing.AWAY], "a set without keys replaces nothing"


def test_a_bounded_number_of_requests_waits() -> None:
    bench = Bench()
    for _ in range(MAX_WAITING + 1):
        bench.find("a")
    assert bench.take() == [Missing.AWAY]
    bench.answer("a")
    assert bench.take() == ["a"] * MAX_WAITING
