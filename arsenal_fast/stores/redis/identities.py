"""The shared identities in Redis: issue.lua writes, MGET reads.

The rows of one ``issue`` are one EVALSHA, the look-ups of one tick one MGET. record.lua has the format of a record; any
other value counts as missing and is overwritten by the next issue. Only keys below the prefix of identities (keys.py)
are read or written, whatever the identity.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from arsenal_fast.identity.validity import LAST_GENERATED, MAX_TTL, Issued, IssueRow, Life, Mode, Outcome, StoreRecord
from arsenal_fast.stores.redis.batcher import Batcher, in_pieces
from arsenal_fast.stores.redis.keys import ONE, Keys
from arsenal_fast.stores.redis.resp import Reply, bulk
from arsenal_fast.stores.redis.script import Count, Link, Script, integers, script_text

# A row of issue.lua costs Redis about two microseconds, during which it serves no one else: so a command takes
# about a millisecond.
MAX_ROWS: Final = 500


def _read_rows(reply: Reply, count: int) -> list[int] | None:
    """Return three integers a row, or three for all rows."""
    return integers(reply, 3) or integers(reply, count)


_TEXT: Final = script_text("record.lua", "issue_row.lua", "issue.lua")
SCRIPT: Final = Script(_TEXT, keys=Count(0, 1), arguments=Count(0, 5), replies=Count(0, 3), read=_read_rows)
ALIKE: Final = Script(_TEXT, keys=Count(0, 1), arguments=Count(5, 0), replies=Count(0, 3), read=_read_rows)
"""The same script with one set of arguments for all rows."""
QUIET: Final = Script(_TEXT, keys=Count(0, 1), arguments=Count(1, 5), replies=Count(1, 0), read=integers)
"""The same script, of which nothing but the number of rows is wanted."""

_RECORD = re.compile(rb"([0-9]+) ([0-9]+)(?: ([0-9]+)( p)?)?")
_MAX_RECORD: Final = 64  # bytes: bounds the digits that int() converts
_NO_ANSWER: Final = bulk(b"")
_OUTCOMES: Final = {int(outcome): outcome for outcome in Outcome}

IssueDone = Callable[[Sequence[Issued] | None], None]
FindDone = Callable[[Sequence[StoreRecord | None] | None], None]


class RedisIdentities:
    """The IdentityStore port over Redis; ``generated`` is by the clock of Redis."""

    __slots__ = ("_connection", "_finds", "_keys")

    def __init__(self, connection: Link, keys: Keys = ONE) -> None:
        self._connection = connection
        self._keys = keys
        self._finds: Batcher[str, StoreRecord | None] = Batcher(self._find, MAX_ROWS)

    def issue(self, rows: Sequence[IssueRow], done: IssueDone) -> None:
        """Issue all rows; ``done`` gets the result of each, in order, or None for no answer."""
        if self._connection.healthy:
            in_pieces(len(rows), MAX_ROWS, lambda piece, answered: self._issue(rows[piece], answered), done)
        else:
            done(None)

    def confirm(self, rows: Sequence[IssueRow]) -> None:
        """Confirm lives that the ledger has."""
        if self._connection.healthy:
            in_pieces(
                len(rows), MAX_ROWS, lambda piece, answered: self._issue(rows[piece], answered, quiet=True), _ignore
            )

    def find(self, ids: Sequence[str], done: FindDone) -> None:
        """Look up; ``done`` gets each identity's record, its life over or not, or None; or None for no answer."""
        if self._connection.healthy:
            self._finds.submit(ids, done)
        else:
            done(None)

    def _issue(self, rows: Sequence[IssueRow], done: IssueDone, *, quiet: bool = False) -> None:
        """``quiet``: ``done`` gets nothing but whether there is an answer."""
        count = len(rows)
        if count == 0:
            done([])
            return
        packed = [b"", packed_keys(self._keys, [row[0] for row in rows])]
        arguments = _packed_arguments(rows)

        def answered(values: list[int] | None) -> None:
            done(None if values is None else [] if quiet else read_issued(values, count))

        self._count(count)
        if quiet:
            QUIET.run(self._connection, count, [*packed, *arguments, _NO_ANSWER], answered)
        elif arguments.count(arguments[0]) == count:
            packed.append(arguments[0])
            ALIKE.run(self._connection, count, packed, answered)
        else:
            SCRIPT.run(self._connection, count, packed + arguments, answered)

    def _find(self, ids: Sequence[str], done: FindDone) -> None:
        count = len(ids)
        if count == 0:
            done([])
            return

        def answered(reply: Reply) -> None:
            if isinstance(reply, list) and len(reply) == count:
                done([read_record(record) for record in reply])
            else:
                done(None)

        self._count(count)
        keys = packed_keys(self._keys, ids)
        self._connection.send(b"*%d\r\n$4\r\nMGET\r\n%b" % (count + 1, keys), answered)

    def _count(self, rows: int) -> None:
        counters = self._connection.counters
        counters.batches += 1
        counters.rows += rows


def packed_keys(names: Keys, ids: Sequence[str]) -> bytes:
    """Pack the keys of identities."""
    # Inlined, since there are tens of identities a tick.
    prefix, size = names.identity.decode("ascii"), len(names.identity)
    keys = [each.removesuffix(":id") for each in ids]
    packed = "".join([f"${size + len(key)}\r\n{prefix}{key}\r\n" for key in keys])
    if packed.isascii():
        return packed.encode("ascii")
    return b"".join([bulk(names.of_identity(each)) for each in ids])  # of which some are no ids


def read_record(record: object) -> StoreRecord | None:
    """Parse a record; None for a value that issue.lua and revoke.lua do not write."""
    if not isinstance(record, bytes) or len(record) > _MAX_RECORD:
        return None
    match = _RECORD.fullmatch(record)
    if match is None:
        return None
    generated, ttl, floor = int(match[1]), int(match[2]), int(match[3] or 0)
    if not 1 <= ttl <= MAX_TTL * 1000 or max(generated, floor) > LAST_GENERATED:
        return None
    return StoreRecord(Life(generated, generated + ttl), floor, match[4] is not None)


def read_issued(values: Sequence[int], count: int) -> list[Issued] | None:
    """Parse the reply of issue.lua to ``count`` rows; None where a number is invalid."""
    issued: list[Issued] = []
    last: tuple[int, int, int] | None = None
    try:
        for row in zip(values[::3], values[1::3], values[2::3], strict=True):
            # Most rows of a command are issued in the same millisecond and share one life.
            if row != last:
                outcome, generated, expires = last = row
                each = Issued(_OUTCOMES[outcome], Life(generated, expires))
            issued.append(each)
    except KeyError:
        return None
    return issued if len(issued) == count else issued * count


def _packed_arguments(rows: Sequence[IssueRow]) -> list[bytes]:
    packed: list[bytes] = []
    last: tuple[object, ...] | None = None
    for row in rows:
        # Most rows of a command have equal arguments: comparing is cheaper than a look-up, which hashes an enum.
        given = row[1:]
        if given != last:
            last = given
            arguments = _arguments(*given)
        packed.append(arguments)
    return packed


@lru_cache(maxsize=1_000)  # but for lives that are brought along, there are few different ones
def _arguments(ttl: int, mode: Mode, generated: int, epoch: int, provisional: bool) -> bytes:
    return b"".join(bulk(b"%d" % each) for each in (ttl, mode, generated, epoch, provisional))


def _ignore(_answers: Sequence[object] | None) -> None:
    """Do nothing."""
