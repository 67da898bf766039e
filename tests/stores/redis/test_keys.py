"""Tags, slots and shards: what is in which shard must never change."""

from collections import Counter

import pytest

from arsenal_fast.stores.redis.keys import ONE, SLOTS, Keys, name_of, slot_of, spread_over, tags_of
from arsenal_fast.stores.redis.url import MAX_SHARDS

ID = "player-123456@sports.api.yourbook.com/v1:id"


def test_one_redis_keeps_its_names() -> None:
    assert (ONE.cell, ONE.revision, ONE.log, ONE.epochs, ONE.probe) == (
        b"af:{0}:c:",
        b"af:{0}:r",
        b"af:{0}:l",
        b"af:{0}:e",
        b"af:{0}:probe",
    )
    assert ONE.of_identity(ID) == b"af:{0}:i:player-123456@sports.api.yourbook.com/v1"


def test_the_slot_is_the_one_of_the_cluster_specification() -> None:
    assert slot_of(b"123456789") == 0x31C3  # its check value of CRC16 (XMODEM), below 16,384


@pytest.mark.parametrize("shards", range(1, MAX_SHARDS + 1))
def test_each_tag_is_within_its_own_part_of_the_slots(shards: int) -> None:
    tags = tags_of(shards)
    assert [slot_of(tag) * shards // SLOTS for tag in tags] == list(range(shards))
    assert b"0" not in tags


@pytest.mark.parametrize(("shards", "masters"), [(3, 1), (3, 3), (6, 1), (6, 2), (6, 3), (6, 6), (48, 16)])
def test_shards_are_divided_evenly_among_masters(shards: int, masters: int) -> None:
    """As redis-cli --cluster create divides the slots."""
    held = Counter(slot_of(tag) * masters // SLOTS for tag in tags_of(shards))
    assert set(held.values()) == {shards // masters}


def test_the_shard_of_a_key_and_the_tag_of_a_shard_never_change() -> None:
    keys = (b"203.0.113.9", b"sub:bot", name_of(ID))
    assert [spread_over(3)(key) for key in keys] == [0, 2, 2]
    assert [spread_over(6)(key) for key in keys] == [3, 5, 2]
    assert (tags_of(3), tags_of(6)) == ((b"776", b"716", b"726"), (b"1086", b"1866", b"86", b"366", b"356", b"1466"))
    assert Keys(tags_of(3)[2]).of_identity(ID) == b"af:{726}:i:player-123456@sports.api.yourbook.com/v1"


@pytest.mark.parametrize("shards", [3, 6])
def test_shards_get_equal_parts_of_many_clients(shards: int) -> None:
    shard_of = spread_over(shards)
    held = Counter(shard_of(b"10.0.%d.%d" % (high, low)) for high in range(48) for low in range(250))
    assert min(held.values()) > 0.95 * 12_000 / shards
    assert max(held.values()) < 1.05 * 12_000 / shards
