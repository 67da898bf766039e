"""How a worker follows revocations of others, and what it does when the store has lost them."""

from collections.abc import Callable, Mapping

import pytest

from arsenal_fast.identity.revocation import LOG_LENGTH, Changes, Revoked
from arsenal_fast.identity.validity import Life
from arsenal_fast.registry.revocation_sync import NO_REVISION, RevocationSync
from tests.support.replicas import Replicas
from tests.support.rig import Rig
from tests.support.stores import SwitchedStore

Done = Callable[[Changes | None], None]


class Told:
    """A stub of the store and a spy: it says what the test wants it to say, when the test wants it."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.answers: list[Done] = []
        self.restored: list[tuple[dict[str, int], int]] = []

    def revoke(self, identity: str, life: Life | None, done: Callable[[Revoked | None], None]) -> None:
        raise AssertionError("a worker that catches up revokes nothing")

    def set_epoch(self, prefix: str | None, before: int, done: Callable[[int | None], None]) -> None:
        raise AssertionError("a worker that catches up revokes nothing")

    def changes(self, since: int, done: Done) -> None:
        self.asked.append(since)
        self.answers.append(done)

    def restore_epochs(self, epochs: Mapping[str, int], revision: int, done: Callable[[int | None], None]) -> None:
        self.restored.append((dict(epochs), revision))
        done(revision + 1)

    def answer(self, changes: Changes | None) -> None:
        self.answers.pop(0)(changes)


class Bench:
    """RevocationSync, and what they did to the worker, in order."""

    def __init__(self, recalled: Mapping[str, int] | None = None) -> None:
        self.store = Told()
        self.events: list[object] = []
        self.revisions = RevocationSync(
            self.store,
            lambda ids: self.events.append(("forget", ids)),
            lambda: self.events.append("restore"),
            lambda done: done(recalled),
        )

    @classmethod
    def at(
        cls, revision: int, epochs: Mapping[str, int] | None = None, recalled: Mapping[str, int] | None = None
    ) -> "Bench":
        """One that has caught up with a revision."""
        bench = cls(recalled)
        bench.revisions.catch_up(revision, lambda: None)
        bench.store.answer(Changes(revision, [], epochs or {}))
        assert bench.revisions.is_known(revision)
        bench.events.clear()
        bench.store.asked.clear()
        return bench

    def catch_up(self, revision: int, name: str = "go") -> None:
        self.revisions.catch_up(revision, lambda: self.events.append(name))


def test_while_the_revision_is_the_known_one_nobody_is_asked() -> None:
    bench = Bench.at(7)
    bench.catch_up(7)
    assert (bench.events, bench.store.asked) == (["go"], [])


def test_who_knows_nothing_asks_for_everything_and_no_revision_is_known() -> None:
    bench = Bench()
    assert not [revision for revision in (0, 1, 10**16) if bench.revisions.is_known(revision)]
    bench.catch_up(7)
    assert bench.store.asked == [0]


def test_what_was_revoked_is_forgotten_before_anybody_goes_on() -> None:
    bench = Bench.at(7)
    bench.catch_up(9)
    assert bench.events == []
    bench.store.answer(Changes(9, ["a", "b"], {}))
    assert bench.events == [("forget", ["a", "b"]), "go"]
    assert bench.store.asked == [7]
    assert bench.revisions.known == 9


def test_whoever_comes_meanwhile_waits_in_order_and_asks_for_nothing_more() -> None:
    bench = Bench.at(7)
    for index, revision in enumerate((8, 8, 9, 7)):
        bench.catch_up(revision, f"go {index}")
        assert not bench.revisions.is_known(7), "a request waits"
    bench.store.answer(Changes(9, ["a"], {}))
    assert bench.events == [("forget", ["a"]), "go 0", "go 1", "go 2", "go 3"]
    assert bench.store.asked == [7]


def test_what_was_revoked_after_the_answer_is_asked_for_again() -> None:
    bench = Bench.at(7)
    bench.catch_up(8)
    bench.store.answer(Changes(8, ["a"], {}))
    bench.catch_up(10)
    bench.store.answer(Changes(10, ["b"], {}))
    assert bench.events == [("forget", ["a"]), "go", ("forget", ["b"]), "go"]
    assert bench.store.asked == [7, 8]


def test_who_goes_on_may_find_the_next_revision_at_once() -> None:
    bench = Bench.at(7)
    bench.revisions.catch_up(8, lambda: bench.catch_up(9, "next"))
    bench.catch_up(8, "other")
    bench.store.answer(Changes(8, [], {}))
    assert bench.events == ["other"]
    bench.store.answer(Changes(9, ["a"], {}))
    assert bench.events == ["other", ("forget", ["a"]), "next"]
    assert bench.store.asked == [7, 8]


def test_a_store_that_goes_away_in_between_keeps_nobody_waiting_and_is_asked_again() -> None:
    bench = Bench.at(7)
    bench.catch_up(8)
    bench.store.answer(None)
    assert bench.events == ["go"]
    assert bench.revisions.known == 7
    bench.catch_up(8)
    bench.store.answer(Changes(8, ["a"], {}))
    assert bench.events == ["go", ("forget", ["a"]), "go"]


def test_who_is_further_behind_than_the_log_reaches_forgets_everything() -> None:
    bench = Bench.at(7)
    bench.catch_up(5000)
    bench.store.answer(Changes(5000, None, {}))
    assert bench.events == [("forget", None), "go"]


# Epochs of the worker, epochs of the store -> whether the cache is dropped, and the epochs to write to the store.
EPOCHS: list[tuple[dict[str, int], dict[str, int], bool, dict[str, int] | None]] = [
    ({}, {"": 50}, True, None),
    ({}, {"a": 50}, True, None),
    ({"a": 50}, {"a": 50}, False, None),
    ({"a": 50}, {"a": 60}, True, None),
    ({"a": 50}, {"a": 50, "b": 1}, True, None),
    ({"a": 50}, {"a": 40}, False, {"a": 50}),
    ({"a": 50, "": 9}, {"b": 2}, True, {"a": 50, "b": 2, "": 9}),
]


@pytest.mark.parametrize(("known", "told", "forgets", "restored"), EPOCHS)
def test_epochs_only_rise_and_one_that_rises_makes_forget_everything(
    known: dict[str, int], told: dict[str, int], forgets: bool, restored: dict[str, int] | None
) -> None:
    bench = Bench.at(7, known)
    bench.catch_up(8)
    bench.store.answer(Changes(8, [], told))
    assert bench.events == [
        *(["restore"] if restored else []),
        *([("forget", None)] if forgets else []),
        "go",
    ]
    assert bench.store.restored == ([] if restored is None else [(restored, 8)])
    for prefix in ("a", "b", "c"):
        risen = {each: max(known.get(each, 0), told.get(each, 0)) for each in (prefix, "")}
        assert bench.revisions.epoch_of(prefix) == max(risen.values())


def test_a_store_that_lost_its_memory_is_told_the_epochs_and_what_lives_before_anybody_goes_on() -> None:
    bench = Bench.at(7, {"a": 50, "": 40}, recalled={"a": 30, "b": 60})
    bench.catch_up(0)
    bench.store.answer(Changes(0, None, {}))
    assert bench.events == ["restore", "go"]
    assert bench.store.restored == [({"a": 50, "b": 60, "": 40}, 7)]
    assert bench.revisions.epoch_of("b") == 60
    assert not bench.revisions.is_known(0), "the next revision is another one, and is asked for"


def test_a_store_that_counts_anew_is_one_that_lost_its_memory() -> None:
    bench = Bench.at(7, {"a": 50})
    bench.catch_up(3)
    bench.store.answer(Changes(3, ["x"], {"b": 5}))
    assert bench.events == ["restore", "go"]
    assert bench.store.restored == [({"a": 50, "b": 5}, 7)]


def test_a_ledger_that_can_not_be_read_just_then_keeps_nobody_waiting() -> None:
    bench = Bench.at(7, {"a": 50}, recalled=None)
    bench.catch_up(0)
    bench.store.answer(Changes(0, None, {}))
    assert bench.events == ["restore", "go"]
    assert bench.store.restored == [({"a": 50}, 7)]


def test_what_is_learned_elsewhere_only_rises() -> None:
    bench = Bench.at(7, {"a": 50})
    bench.revisions.learn_epochs({"a": 40, "b": 3})
    bench.revisions.learn_epochs({})
    assert [bench.revisions.epoch_of(prefix) for prefix in ("a", "b", "c")] == [50, 3, 0]


def test_nothing_is_no_revision_of_any_store() -> None:
    assert NO_REVISION < 0


# With the real log of a store.


@pytest.mark.parametrize("count", [1, LOG_LENGTH, LOG_LENGTH + 1, LOG_LENGTH + 500])
def test_an_idle_worker_catches_up_however_much_was_revoked(count: int) -> None:
    store = SwitchedStore(Rig().memory())
    forgotten: list[list[str] | None] = []
    revisions = RevocationSync(store, forgotten.append, lambda: None, lambda done: done({}))
    now = Life(1_763_805_600_000, 1_763_809_200_000)
    store.revoke("first", now, lambda revoked: None)
    seen: list[int] = []
    store.admit([], [], lambda revision, backlogs: seen.append(revision))
    revisions.catch_up(seen[0], lambda: None)
    forgotten.clear()
    for index in range(count):
        store.revoke(f"id {index}", now, lambda revoked: None)
    store.admit([], [], lambda revision, backlogs: seen.append(revision))
    revisions.catch_up(seen[1], lambda: None)
    assert revisions.is_known(seen[1])
    (ids,) = forgotten
    if count > LOG_LENGTH:
        assert ids is None
    else:
        assert ids is not None
        assert sorted(ids) == sorted(f"id {index}" for index in range(count))


@pytest.mark.parametrize("ledger", [False, True])
def test_epochs_outlive_the_memory_of_the_store(ledger: bool) -> None:
    replicas = Replicas(ledger=ledger, settings={"quota": None})
    first, second = replicas.rigs
    target, identity = "/api/v1/id?prefix=player&run=1", "player-1@sports.api.yourbook.com/v1:id"
    token = first.get(target).json["token"]
    second.get(target)
    replicas.advance(1)
    body = {"prefix": "player", "issued_before": "2025-11-22T10:00:01Z"}
    assert first.post("/api/v1/revoke", body, Authorization=first.bearer("revoke")).status == 200
    second.get("/api/v1/nothing")
    replicas.flush()
    for rig in (second, first):
        verdict = rig.post("/api/v1/validate", {"identity": identity, "token": token}).json
        assert (verdict["valid"], verdict["status"]) == (False, "revoked")
    fresh = Rig(settings={"quota": None}, store=first.shared)
    verdict = fresh.post("/api/v1/validate", {"token": token}).json
    assert (verdict["valid"], verdict["status"]) == (False, "revoked"), "told to the store again"
