"""Tags, slots and shards: what is in which shard must never change."""

from collections import Counter

import pytest

from arsenal_fast.stores.redis.keys import ONE, SHARDS, SLOTS, TAGS, Keys, shard_of, shard_of_identity, slot_of

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


def test_each_tag_is_within_its_own_sixth_of_the_slots() -> None:
    assert len(TAGS) == SHARDS
    assert [slot_of(tag) * SHARDS // SLOTS for tag in TAGS] == list(range(SHARDS))
    assert b"0" not in TAGS


@pytest.mark.parametrize("masters", [1, 2, 3, 6])
def test_shards_are_divided_evenly_among_masters(masters: int) -> None:
    """As redis-cli --cluster create divides the slots."""
    held = Counter(slot_of(tag) * masters // SLOTS for tag in TAGS)
    assert set(held.values()) == {SHARDS // masters}


def test_the_shard_of_a_key_never_changes() -> None:
    assert [shard_of(b"203.0.113.9"), shard_of(b"sub:bot"), shard_of_identity(ID)] == [3, 5, 2]
    assert Keys(TAGS[2]).of_identity(ID) == b"af:{1856}:i:player-123456@sports.api.yourbook.com/v1"


def test_shards_get_equal_parts_of_many_clients() -> None:
    held = Counter(shard_of(b"10.0.%d.%d" % (high, low)) for high in range(48) for low in range(250))
    assert min(held.values()) > 1900
    assert max(held.values()) < 2100
