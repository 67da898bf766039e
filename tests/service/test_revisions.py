"""How a worker hears of revocations before its next answer, and what it does when the store has lost its memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from arsenal_fast.identity.life import Life
from arsenal_fast.identity.revocation import Changes, Revoked
from arsenal_fast.service.revisions import Revisions
from tests.support.replicas import Replicas
from tests.support.rig import Client, request

ID = "player-1@sports.api.yourbook.com/v1:id"
GET = request("GET", "/api/v1/id?prefix=player&run=1")
OTHER = request("GET", "/api/v1/id?prefix=player&run=2")


class Shared:
    """A stub of the store's revocations: answers ``said`` when it is told to; a spy on what it is asked."""

    def __init__(self) -> None:
        self.said: Changes | None = None
        self.asked: list[int] = []
        self.restored: list[tuple[dict[str, int], int]] = []
        self._done: list[Callable[[Changes | None], None]] = []

    def answer(self, said: Changes | None) -> None:
        self._done.pop(0)(said)

    def revoke(self, identity: str, life: Life | None, done: Callable[[Revoked | None], None]) -> None:
        raise AssertionError("nobody revokes here")

    def set_epoch(self, prefix: str | None, before: int, done: Callable[[int | None], None]) -> None:
        raise AssertionError("nobody revokes here")

    def changes(self, since: int, done: Callable[[Changes | None], None]) -> None:
        self.asked.append(since)
        self._done.append(done)

    def restore_epochs(self, epochs: Mapping[str, int], revision: int, done: Callable[[int | None], None]) -> None:
        self.restored.append((dict(epochs), revision))


class Bench:
    """Revisions, and what they did. ``ledger``: the epochs that it recalls, None: it can't be read."""

    def __init__(self, ledger: Mapping[str, int] | None = None) -> None:
        self.shared = Shared()
        self.log: list[Any] = []
        self.revisions = Revisions(
            self.shared, self.forget, lambda: self.log.append("restore"), lambda done: done(ledger)
        )

    def forget(self, ids: Sequence[str] | None) -> None:
        self.log.append(("forget", ids))

    def catch_up(self, revision: int, said: Changes | None) -> None:
        self.revisions.catch_up(revision, lambda: self.log.append("go"))
        self.shared.answer(said)


def known(revision: int, epochs: Mapping[str, int] | None = None) -> Bench:
    """A bench that has caught up with this revision, and done nothing since."""
    bench = Bench(epochs)
    bench.revisions.learn_epochs(epochs or {})
    bench.catch_up(revision, Changes(revision, [], epochs or {}))
    bench.log.clear()
    bench.shared.asked.clear()
    return bench


def test_what_was_revoked_is_forgotten_before_anybody_goes_on() -> None:
    bench = known(7)
    assert bench.revisions.is_known(7)
    bench.catch_up(9, Changes(9, ["a", "b"], {}))
    assert bench.log == [("forget", ["a", "b"]), "go"]
    assert bench.shared.asked == [7]
    assert bench.revisions.is_known(9)


def test_while_one_asks_the_others_wait_for_its_answer() -> None:
    bench = known(7)
    for revision in (8, 8, 7):
        bench.revisions.catch_up(revision, lambda: bench.log.append("go"))
    assert (bench.log, bench.shared.asked) == ([], [7])
    assert not bench.revisions.is_known(7)
    bench.shared.answer(Changes(8, ["a"], {}))
    assert bench.log == [("forget", ["a"]), "go", "go", "go"]


@pytest.mark.parametrize("said", [Changes(8, None, {}), Changes(8, [], {"player": 5})], ids=["too far", "an epoch"])
def test_everything_is_forgotten_where_the_log_does_not_reach_or_an_epoch_rose(said: Changes) -> None:
    bench = known(7)
    bench.catch_up(8, said)
    assert bench.log == [("forget", None), "go"]


def test_a_store_that_went_away_meanwhile_keeps_nobody_waiting() -> None:
    bench = known(7)
    bench.catch_up(8, None)
    assert bench.log == ["go"]
    assert not bench.revisions.is_known(8)


@pytest.mark.parametrize("revision", [0, 3], ids=["no revision", "a lower one"])
def test_a_store_that_lost_its_memory_is_told_the_epochs_that_the_ledger_and_the_worker_know(revision: int) -> None:
    bench = known(7, {"player": 5})
    bench.revisions.learn_epochs({"": 9})
    bench.catch_up(revision, Changes(revision, None, {}))
    assert bench.log == ["restore", "go"]
    assert bench.shared.restored == [({"player": 5, "": 9}, 7)]
    assert bench.revisions.epoch_of("player") == 9


def test_an_epoch_that_this_worker_never_heard_of_is_recalled_before_anybody_goes_on() -> None:
    bench = Bench({"player": 5})
    bench.revisions.catch_up(0, lambda: bench.log.append(bench.revisions.epoch_of("player")))
    bench.shared.answer(Changes(0, None, {}))
    assert bench.log == ["restore", 5]
    assert bench.shared.restored == [({"player": 5}, 0)]


def test_without_a_ledger_that_can_be_read_the_worker_goes_on_with_what_it_knows() -> None:
    bench = Bench(None)
    bench.catch_up(0, Changes(0, None, {}))
    assert bench.log == ["restore", "go"]


def test_revision_0_is_never_taken_for_known_for_then_a_memory_was_lost() -> None:
    bench = Bench()
    assert not bench.revisions.is_known(0)
    bench.catch_up(0, Changes(0, None, {}))
    assert not bench.revisions.is_known(0)


def test_where_another_worker_was_first_to_notice_the_missing_epochs_are_told_and_all_is_forgotten() -> None:
    bench = known(7, {"player": 5})
    bench.catch_up(90, Changes(90, None, {}))
    assert bench.log == ["restore", ("forget", None), "go"]
    assert bench.shared.restored == [({"player": 5}, 90)]


def test_an_admission_whose_revision_an_earlier_one_has_brought_home_does_not_answer_what_it_held() -> None:
    """The request is recognised while the worker is being told that its identity was revoked."""
    replicas = Replicas()
    one, other = replicas.rigs
    client, early = Client(other, ("203.0.113.9", 1)), Client(other, ("203.0.113.9", 2))
    for _ in range(2):
        client.send(GET)
    early.send(OTHER)
    living = client.answers("GET", "GET")[1].json
    early.take()
    replicas.advance(0.01)
    other.shared.holding = True
    token = one.bearer("revoke")
    assert one.post("/api/v1/revoke", {"identity": ID}, Authorization=token).status == 200
    early.send(OTHER)
    other.shared.release()  # its admission: the worker now asks what has changed
    client.send(GET)  # recognised, with the record that is about to be forgotten
    other.shared.release_all()
    other.tick()
    (answer,) = client.answers("GET")
    assert answer.json["generated"] > living["generated"]
