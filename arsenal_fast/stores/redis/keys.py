"""Names the keys in Redis: of one Redis, and of the shards of a cluster.

A cluster places a key by the hash of what stands between the braces, its tag. All keys that one script touches have the
same tag. One Redis has the tag {0}. In a cluster clients and identities are spread over shards, by default three, each
with a tag in its own part of the slots: they divide evenly among as many masters, or a half or a third of that. Each
shard costs a command in a tick that needs it. What is in which shard follows from the key and the number of shards
alone, so that number stays: with another one everything would be forgotten.
"""

from binascii import crc_hqx
from collections.abc import Callable
from functools import cache
from typing import Final
from zlib import crc32

from arsenal_fast.stores.redis.resp import bulk

SLOTS: Final = 16_384


class Keys:
    """The keys of one shard, or of one Redis; what each command repeats is packed."""

    __slots__ = (
        "amendments",
        "cell",
        "epochs",
        "identity",
        "log",
        "packed_all",
        "packed_log",
        "packed_revision",
        "probe",
        "revision",
    )

    def __init__(self, tag: bytes) -> None:
        base = b"af:{%b}:" % tag
        self.cell = base + b"c:"
        """Before the key of a client."""
        self.identity = base + b"i:"
        """Before an identity, see ``of_identity``."""
        self.revision, self.log, self.epochs, self.amendments = (base + name for name in (b"r", b"l", b"e", b"k"))
        self.probe = base + b"probe"
        self.packed_revision = bulk(self.revision)
        self.packed_log = self.packed_revision + bulk(self.log)
        """The revision and the log."""
        self.packed_all = self.packed_log + bulk(self.epochs) + bulk(self.amendments)
        """The revision, the log, the epochs, the amendments of service tokens."""

    def of_identity(self, identity: str) -> bytes:
        """Return the key of an identity."""
        return self.identity + name_of(identity)


ONE: Final = Keys(b"0")
"""The keys of one Redis, which is no cluster."""


def name_of(identity: str) -> bytes:
    """Return what a key says of an identity: it without ":id", which all ids end with."""
    return identity.removesuffix(":id").encode("utf-8", "surrogatepass")


def slot_of(tag: bytes) -> int:
    """Return the slot of a cluster that keys with this tag are in: CRC16 (XMODEM) of the tag."""
    return crc_hqx(tag, 0) % SLOTS


@cache
def tags_of(shards: int) -> tuple[bytes, ...]:
    """Return the tag of each shard: the number below 2,000 whose slot is next to the middle of the shard's part."""
    slots = {tag: slot_of(tag) for tag in (b"%d" % number for number in range(1, 2000))}
    middles = [(2 * shard + 1) * SLOTS // (2 * shards) for shard in range(shards)]
    return tuple(min(slots, key=lambda tag: abs(slots[tag] - middle)) for middle in middles)


def spread_over(shards: int) -> Callable[[bytes], int]:
    """Return the function that finds the shard of a client by its key, or of an identity by its name."""

    def shard_of(name: bytes) -> int:
        return crc32(name) % shards

    return shard_of
