"""What a worker remembers, what the store knows, and what becomes of both in an outage."""

from collections.abc import Sequence

import pytest

from arsenal_fast.identity.grammar import Identity
from arsenal_fast.identity.life import Issued, IssueRow, Life, Mode
from arsenal_fast.metrics import Metrics
from arsenal_fast.service.directory import Asker, Directory, Known, Wanted
from arsenal_fast.service.records import Record
from tests.support.ledgers import SwitchedLedger
from tests.support.rig import START, Rig, request
from tests.support.stores import SwitchedStore

DOMAIN = "x.example"


def identity(run: int) -> Identity:
    return Identity("player", str(run), DOMAIN, "v1")


ASKER = Asker("203.0.113.9")


class Bench:
    """A directory over a store that can be switched, and the worker's clock."""

    def __init__(
        self, capacity: int = 1000, store: SwitchedStore | None = None, ledger: SwitchedLedger | None = None
    ) -> None:
        self.rig = Rig()
        self.store = store or SwitchedStore(self.rig.memory())
        self.ledger = ledger
        self.metrics = Metrics()
        self.directory = Directory(
            store=self.store,
            spare=self.rig.memory().identities,
            revocations=self.store,
            ledger=ledger,
            capacity=capacity,
            now=lambda: self.rig.wall,
            metrics=self.metrics,
            sign=self.rig.keys.sign_identity,
        )

    def ask(self, *runs: int, ttl: int = 60, asker: Asker = ASKER) -> list[Sequence[Record]]:
        """Issue, and return where the answer will be."""
        answers: list[Sequence[Record]] = []
        self.directory.issue([Wanted(identity(run)) for run in runs], ttl, asker, answers.append)
        return answers

    def issue(self, *runs: int, ttl: int = 60) -> list[Record]:
        (records,) = self.ask(*runs, ttl=ttl)
        return list(records)

    def known(self, *runs: int) -> tuple[list[Known | None], bool]:
        answers: list[tuple[list[Known | None], bool]] = []
        self.directory.find(
            [identity(run) for run in runs], lambda known, readable: answers.append((list(known), readable))
        )
        (answer,) = answers
        return answer

    def find(self, *runs: int) -> tuple[list[Life | None], bool]:
        known, readable = self.known(*runs)
        return [None if each is None else each.life for each in known], readable

    def hits(self) -> tuple[int, int]:
        """Look-ups and hits since the last time."""
        found = self.metrics.identity_lookups, self.metrics.identity_lookup_hits
        self.metrics.identity_lookups = self.metrics.identity_lookup_hits = 0
        return found


def test_what_is_remembered_is_not_asked_for_again_until_it_is_to_be_renewed() -> None:
    bench = Bench()
    first = bench.issue(1, 2)
    bench.rig.advance(45)
    assert bench.issue(2, 1) == first[::-1]
    assert len(bench.store.issues) == 1
    bench.rig.advance(0.001)
    renewed = bench.issue(1)
    assert renewed[0].life.generated == first[0].life.generated + 45_001
    assert bench.store.issues[1] == [IssueRow(identity(1).id, 60_000)]


def test_only_the_rows_that_are_missing_are_asked_for() -> None:
    bench = Bench()
    bench.issue(2)
    records = bench.issue(1, 2, 3)
    assert [record.identity for record in records] == [identity(run) for run in (1, 2, 3)]
    assert [row.id for row in bench.store.issues[1]] == [identity(1).id, identity(3).id]


def test_a_hit_is_a_look_up_that_found_a_living_record_here_or_in_the_store() -> None:
    bench = Bench()
    bench.issue(1, 2)
    assert bench.hits() == (2, 0)
    bench.issue(1, 2, 3)
    assert bench.hits() == (3, 2)
    other = Bench(store=bench.store)
    other.issue(1)
    assert other.hits() == (1, 1), "found in the store"
    bench.find(1, 4)
    assert bench.hits() == (2, 1)
    bench.rig.advance(50)
    bench.issue(1)
    assert bench.hits() == (1, 1), "what is renewed was living"
    bench.rig.advance(60)
    bench.issue(1)
    assert bench.hits() == (1, 0), "what has expired was not"
    assert (bench.metrics.identity_issued, bench.metrics.identity_renewed) == (4, 1)


def test_a_run_that_is_taken_is_drawn_again_and_the_others_of_the_batch_keep_theirs() -> None:
    bench = Bench()
    bench.issue(1, 2, 3)
    draws = iter([identity(2), identity(3), identity(4)])
    answers: list[Sequence[Record]] = []
    wanted = [Wanted(identity(9)), Wanted(identity(1), lambda: next(draws)), Wanted(identity(5), lambda: identity(6))]
    bench.directory.issue(wanted, 60, ASKER, answers.append)
    assert [record.identity.run for record in answers[0]] == ["9", "4", "5"]
    assert [[row.id for row in rows] for rows in bench.store.issues[2:]] == [[identity(run).id] for run in (2, 3, 4)]


def test_a_life_has_one_record_however_many_asked_for_it_at_once() -> None:
    bench = Bench()
    bench.store.holding = True
    answers: list[Sequence[Record]] = []
    for _ in range(3):
        bench.directory.issue([Wanted(identity(1))], 60, ASKER, answers.append)
    bench.store.release_all()
    assert len({id(records[0]) for records in answers}) == 1


# Outages


def test_without_the_store_the_worker_issues_by_itself_and_says_so() -> None:
    bench = Bench()
    bench.store.away = True
    record = bench.issue(1)[0]
    assert record.life == Life(int(START * 1000), int(START * 1000) + 60_000)
    assert bench.issue(1) == [record]
    assert bench.metrics.identity_issued_without_store == 1
    bench.rig.advance(50)
    assert bench.issue(1)[0].life.generated == record.life.generated + 50_000


def test_without_the_store_what_is_remembered_is_found_and_nothing_else_is_denied() -> None:
    bench = Bench()
    record = bench.issue(1)[0]
    bench.store.away = True
    assert bench.find(1) == ([record.life], True)
    assert bench.find(1, 2) == ([record.life, None], False)
    bench.rig.advance(60)
    assert bench.find(1) == ([None], False)


@pytest.mark.parametrize("count", [1, 199, 200, 201, 450])
def test_when_the_store_is_back_it_is_told_of_every_life_in_small_commands(count: int) -> None:
    bench = Bench()
    bench.store.away = True
    records = bench.issue(*range(count))
    bench.store.away = False
    bench.store.issues.clear()
    bench.directory.restore()
    rows = [row for rows in bench.store.issues for row in rows]
    assert max(len(rows) for rows in bench.store.issues) <= 200
    assert sorted(rows) == sorted(
        IssueRow(record.id, record.life.ttl, Mode.ASSERT, record.life.generated) for record in records
    )
    other = Bench(store=bench.store)
    other.rig.advance(1)
    assert [record.life for record in other.issue(*range(count))] == [record.life for record in records]


def test_what_has_expired_in_the_outage_is_not_told() -> None:
    bench = Bench()
    bench.store.away = True
    bench.issue(1, ttl=10)
    bench.issue(2)
    bench.rig.advance(10)
    bench.store.away = False
    bench.directory.restore()
    assert [row.id for row in bench.store.issues[-1]] == [identity(2).id]


def test_where_another_worker_was_first_its_life_holds() -> None:
    bench = Bench()
    bench.store.away = True
    own = bench.issue(1, 2)
    bench.store.away = False
    bench.rig.advance(5)
    other = Bench(store=bench.store)
    theirs = other.issue(1)[0]
    bench.directory.restore()
    assert bench.issue(1)[0].life == theirs.life != own[0].life
    assert bench.issue(2)[0].life == own[1].life


def test_a_store_that_goes_away_again_is_told_at_its_next_return() -> None:
    bench = Bench()
    bench.store.away = True
    records = bench.issue(*range(300))
    bench.store.away, bench.store.holding = False, True
    bench.directory.restore()
    bench.store.away = True
    bench.store.release()
    bench.store.holding = False
    bench.store.release()
    bench.store.away = False
    bench.directory.restore()
    assert [issued.life for issued in _issued(bench.store, range(300))] == [record.life for record in records]


def _issued(store: SwitchedStore, runs: range) -> list[Issued]:
    answers: list[Sequence[Issued] | None] = []
    store.issue([IssueRow(identity(run).id, 1000) for run in runs], answers.append)
    assert answers[0] is not None
    return list(answers[0])


def test_an_identity_that_lives_in_prepared_answers_alone_is_told_to_the_store_too() -> None:
    rig = Rig(settings={"quota": None, "cache_size": 16}, switched=True)
    client = rig.connect()
    first = client.get("/api/v1/id?run=hot").json
    for run in range(100):  # look-ups that push it out of the directory, and never out of the prepared answers
        rig.service.directory.issue([Wanted(identity(run))], 60, ASKER, lambda records: None)
        assert client.get("/api/v1/id?run=hot").json == first
    assert rig.service.directory.records.get(first["id"]) is None
    rig.shared.memory = rig.memory()  # the store has lost everything
    rig.shared.come_back()
    rig.advance(5)
    other = Rig(settings={"quota": None}, store=rig.shared)
    other.advance(5)
    assert other.get("/api/v1/id?run=hot").json == first


def test_a_prepared_answer_goes_when_its_record_is_forgotten() -> None:
    other = Rig(settings={"quota": None}, switched=True)
    rig = Rig(settings={"quota": None}, store=other.shared)
    other.shared.away = True
    client, target = rig.connect(), "/api/v1/id?run=1"
    own = client.get(target).json
    spelled = client.get(f"{target}&prefix=unknown").json
    assert own == spelled == client.get(target).json
    other.shared.away = False
    rig.advance(9)
    other.advance(9)
    theirs = other.get(target).json
    other.shared.come_back()
    assert theirs != own
    for spelling in (target, f"{target}&prefix=unknown"):
        client.send(request("GET", spelling))
        assert client.answers("GET")[0].json == theirs
