"""Requests go to the admission of their client's shard, and each shard's clients are decided alone."""

from collections.abc import Sequence
from typing import cast

from arsenal_fast.api.admission import Admission
from arsenal_fast.api.batches import Admissible
from arsenal_fast.api.shards import Call, ShardedAdmission
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.memory import MemoryBackend
from arsenal_fast.stores.ports import Backend, Shard
from tests.support.rig import START, Rig
from tests.support.rig import request as message
from tests.support.stores import SwitchedStore

ONE = message("GET", "/api/v1/id?prefix=player&run=1")

QUOTA = Quota(10, 10)


class SpyAdmission:
    """Records what it gets; the start of its batch is its number."""

    def __init__(self, number: int, go_on: Call) -> None:
        self.number = number
        self.go_on = go_on
        self.got: list[object] = []

    def submit(self, request: object) -> None:
        self.got.append(request)

    def look(self, request: object, done: object) -> None:
        self.got.append((request, done))

    def used_tokens(self) -> set[str]:
        return {f"{self.number}", "all"}

    def pass_unlimited(self, request: object) -> None:
        self.got.append(request)

    def batch_started_s(self) -> float:
        return float(self.number)


class Request:
    """Only a client."""

    def __init__(self, key: bytes) -> None:
        self.client = Client(key, QUOTA)


def made() -> tuple[ShardedAdmission, list[SpyAdmission], list[str]]:
    spies: list[SpyAdmission] = []
    refreshed: list[str] = []

    def make(number: int, go_on: Call) -> Admission:
        spies.append(SpyAdmission(number, go_on))
        return cast(Admission, spies[-1])

    sharded = ShardedAdmission(3, make, shard_of=lambda key: key[0] % 3, refresh=lambda: refreshed.append("now"))
    return sharded, spies, refreshed


def test_a_request_and_a_look_go_to_the_shard_of_the_client() -> None:
    sharded, spies, _ = made()
    requests = [Request(bytes([number])) for number in range(6)]
    for request in requests:
        sharded.submit(cast(Admissible, request))
    looking = cast(Admissible, Request(b"\x01"))
    sharded.look(looking, print)
    assert [spy.got for spy in spies] == [
        [requests[0], requests[3]],
        [requests[1], requests[4], (looking, print)],
        [requests[2], requests[5]],
    ]


def test_the_used_tokens_are_those_of_all_shards() -> None:
    sharded, _, _ = made()
    assert sharded.used_tokens() == {"0", "1", "2", "all"}


def test_the_start_is_that_of_the_shard_whose_requests_go_on() -> None:
    sharded, spies, refreshed = made()
    sharded.submit(cast(Admissible, Request(b"\x02")))
    assert sharded.batch_started_s() == 2
    spies[1].go_on()
    assert sharded.batch_started_s() == 1
    assert refreshed == ["now"]


class TwoShards(SwitchedStore):
    """A store of two shards, of the odd and the even addresses, whose commands are listed together."""

    @property
    def shards(self) -> Sequence[Shard]:
        return cast(Sequence[Shard], (self, self))

    def shard_of(self, key: bytes) -> int:
        return key[-1] % 2

    def shard_of_identity(self, identity: str) -> int:
        return 0


def test_the_batches_of_all_shards_wait_for_company_while_a_command_to_one_of_them_is_under_way() -> None:
    store = TwoShards(MemoryBackend(now_us=lambda: 0, now_ms=lambda: round(START * 1000)))
    rig = Rig(store=cast(Backend, store))
    store.holding = True
    clients = [rig.connect((f"198.51.100.{number}", 40_000)) for number in range(4)]
    clients[0].deliver(ONE)
    rig.turn()
    assert store.admissions == [[("198.51.100.0", 1)]]
    for client in clients[1:]:
        client.deliver(ONE)
        assert len(store.admissions) == 1
        rig.turn()
    assert store.admissions[1:] == [[("198.51.100.1", 1), ("198.51.100.3", 1)]]
    rig.turn()
    assert store.admissions[2:] == [[("198.51.100.2", 1)]]
