"""The shared revocations in Redis: floors in the identities' records, epochs, amendments, a revision, a log of changes.

revoke.lua and epoch.lua write, changes.lua reads, each in one round trip; no batches, since none of them is
frequent. Every admission returns the revision (limiter.py), so ``changes`` runs only when it has changed.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from arsenal_fast.identity.amendments import MAX_NUMBER, Amendment
from arsenal_fast.identity.revocation import EVERYTHING, UNKNOWN, Changes, Revoked
from arsenal_fast.identity.validity import Life
from arsenal_fast.stores.redis.keys import ONE, Keys
from arsenal_fast.stores.redis.resp import Reply, bulk
from arsenal_fast.stores.redis.script import Count, Link, Script, integers, script_text

Value = TypeVar("Value")


def _script(*names: str, keys: int, arguments: Count, replies: Count) -> Script[list[int]]:
    """Return the script of these files, with so many keys and integers as its reply."""
    return Script(script_text(*names), keys=Count(keys, 0), arguments=arguments, replies=replies, read=integers)


_REVOKE: Final = ("record.lua", "revision.lua", "revoke.lua")
_NOTIFY: Final = ("revision.lua", "notify.lua")

REVOKE: Final = _script(*_REVOKE, keys=3, arguments=Count(3, 0), replies=Count(6, 0))
END: Final = _script(*_REVOKE, keys=1, arguments=Count(3, 0), replies=Count(6, 0))
"""REVOKE without the revision: of a cluster."""
EPOCH: Final = _script("revision.lua", "epoch.lua", keys=4, arguments=Count(1, 2), replies=Count(1, 1))
NOTIFY: Final = _script(*_NOTIFY, keys=2, arguments=Count(1, 0), replies=Count(1, 0))
OUTRUN: Final = _script(*_NOTIFY, keys=1, arguments=Count(0, 0), replies=Count(1, 0))
"""NOTIFY without the log."""


def read_changes(reply: Reply, count: int) -> Changes | None:
    """Parse the reply of changes.lua; None where it is invalid."""
    match reply:
        case [int(revision), (list() | None) as ids, list() as held, list() as amended] if len(reply) == count:
            epochs, amendments = read_epochs(held), read_amendments(amended)
            try:
                named = None if ids is None else [_text(identity) for identity in ids]
            except (UnicodeError, AttributeError):
                return None
            if epochs is None or amendments is None:
                return None
            return Changes(revision, named, epochs, amendments)
    return None


def read_epochs(reply: Reply) -> dict[str, int] | None:
    """Parse epochs, each as prefix and ms; None where they are invalid."""
    return _pairs(reply, int)


def read_amendments(reply: Reply) -> dict[str, Amendment] | None:
    """Parse amendments, each as key and text; None where they are invalid."""
    return _pairs(reply, _amendment)


def _pairs(reply: Reply, read: Callable[[bytes], Value]) -> dict[str, Value] | None:
    if not isinstance(reply, list):
        return None
    try:
        return {_text(key): read(value) for key, value in zip(reply[::2], reply[1::2], strict=True)}
    except (TypeError, ValueError, AttributeError):
        return None


def pass_item(index: int, done: Callable[[int | None], None]) -> Callable[[list[int] | None], None]:
    """Return what takes a reply and calls ``done`` with one integer of it, or None for no answer."""

    def answered(reply: list[int] | None) -> None:
        done(None if reply is None else reply[index])

    return answered


CHANGES: Final = Script(
    script_text("revision.lua", "changes.lua"),
    keys=Count(4, 0),
    arguments=Count(1, 0),
    replies=Count(4, 0),
    read=read_changes,
)

SCRIPTS: Final = (REVOKE, EPOCH, CHANGES)


class RedisRevocations:
    """The Revocations port over Redis; floors and epochs are by the clock of Redis."""

    __slots__ = ("_connection", "_keys")

    def __init__(self, connection: Link, keys: Keys = ONE) -> None:
        self._connection = connection
        self._keys = keys

    def revoke(self, identity: str, life: Life | None, done: Callable[[Revoked | None], None]) -> None:
        """End every life of the identity up to now; ``life``: the newest one that the caller knows."""
        self._end(REVOKE, self._keys.packed_log, identity, life, done)

    def _end(
        self,
        script: Script[list[int]],
        shared: bytes,
        identity: str,
        life: Life | None,
        done: Callable[[Revoked | None], None],
    ) -> None:
        def answered(reply: list[int] | None) -> None:
            if reply is None:
                done(None)
                return
            known, generated, expires, floor, already, _ = reply
            done(Revoked(True, Life(generated, expires), floor, already == 1) if known else UNKNOWN)

        generated, ttl = (life.generated, life.ttl) if life is not None else (0, 0)
        arguments = bulk(_encoded(identity)) + bulk(b"%d" % generated) + bulk(b"%d" % ttl)
        self._connection.counters.rows += 1
        script.run(self._connection, 0, [b"", bulk(self._keys.of_identity(identity)), shared, arguments], answered)

    def set_epoch(self, prefix: str | None, before: int, done: Callable[[int | None], None]) -> None:
        """Raise an epoch, of everything without a prefix; ``before`` 0: everything up to now ends.

        ``done`` gets the epoch in force, which never falls, or None for no answer.
        """

        epoch = {EVERYTHING if prefix is None else prefix: before}
        self._raise(epoch, {}, 0, pass_item(1, done))

    def amend(self, key: str, amendment: Amendment, done: Callable[[bool | None], None]) -> None:
        """Write an amendment of service tokens; ``done`` gets whether it is in force, or None for no answer."""

        def answered(reply: list[int] | None) -> None:
            done(None if reply is None else reply[1] == 1)

        self._raise({}, {key: amendment}, 0, answered)

    def changes(self, since: int, done: Callable[[Changes | None], None]) -> None:
        """Read the changes since a revision, and the epochs in force; None for no answer."""
        CHANGES.run(self._connection, 0, [b"", self._keys.packed_all, bulk(b"%d" % since)], done)

    def restore(
        self,
        epochs: Mapping[str, int],
        amendments: Mapping[str, Amendment],
        revision: int,
        done: Callable[[int | None], None],
    ) -> None:
        """Write all back to a store that lost its memory, and raise its revision above ``revision``, in one command.

        In several ones a worker could see the new revision before the last amendment. ``done`` gets the revision in
        force, or None for no answer.
        """

        # An epoch of 0 revokes nothing; to the script it would mean now.
        known = {prefix: epoch for prefix, epoch in epochs.items() if epoch > 0}
        self._raise(known, amendments, revision + 1, pass_item(0, done))

    def _raise(
        self,
        epochs: Mapping[str, int],
        amendments: Mapping[str, Amendment],
        least: int,
        answered: Callable[[list[int] | None], None],
    ) -> None:
        packed = [b"", self._keys.packed_all, bulk(b"%d" % least)]
        packed += [bulk(_encoded(prefix)) + bulk(b"%d" % epoch) for prefix, epoch in epochs.items()]
        packed += [bulk(_encoded(key)) + bulk(b"%d %d %d" % amendment) for key, amendment in amendments.items()]
        EPOCH.run(self._connection, len(epochs) + len(amendments), packed, answered)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _amendment(text: bytes) -> Amendment:
    moment, limit, ends = map(int, text.split(b" "))
    if not 0 <= min(moment, limit, ends) <= max(moment, limit, ends) <= MAX_NUMBER:
        raise ValueError("an amendment has numbers that Redis's scripts can hold")
    return Amendment(moment, limit, ends)
