"""Finds the events of a name in SQLite: an index that is written in sorted slices, and in memory what it lacks.

An index in the order of names has its next entry on a page of its own, and SQLite writes whole pages: with each
commit that costs 10 to 14 us a row, where appending to ``events`` costs 3 (docs/experiments.md). So a commit only
appends. The table ``names`` follows in slices of SLICE events, sorted, so that many entries share a page:

    names   one entry for each event of a run: the key of its name, its moment, its number
    folded  in ``meta``: the events up to this number are in ``names``
    tail    in memory: the newest life of each identity among the events after it

Each commit carries a part of the slice that is being folded, in its own transaction: so no commit is long, and none is
added. The tail is read from ``events``, which are the truth: after a start, and what other processes have written.
A release before version 4 folds nothing of what it writes. Where a tail has become too long for that reason,
``fold_next`` folds it without reading it into memory: when a writer opens the ledger, and while it rests.
A slice that was folded in part, or by two processes, is harmless: its entries are the same.

The key of a name is a number: at its top the run, modulo a secret prime of this ledger, then 12 bits of the prefix and
12 of domain and version. Who does not know the prime can't choose runs that share a key. Entries only lead to events,
which say which identity they are of.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Collection, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import Final

import orjson

from arsenal_fast.identity.grammar import split
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.errors import Unavailable

SLICE: Final = 8_192  # events: a tail of five megabytes at most, and a dozen entries a page with 100,000 identities
PACE: Final = 2  # entries that a commit folds for each event that it writes: a slice is done before the next is full
MOST: Final = 8 * SLICE  # events of a tail that is read into memory
STEP: Final = 20_000  # events of one step of ``fold_next``, some 100 ms
LOWER_BITS: Final = 12  # of the prefix, and of domain and version
_PRIME_BITS: Final = 39  # with both lower parts 63 bits, which SQLite holds in one number
_WITNESSES: Final = (2, 3, 5, 7, 11, 13, 17)  # decide for all numbers below 3.4e14

# Rows of one statement: each size is prepared once, and any number is a sum of a few of them.
SIZES: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)

_PRIME: Final = "SELECT value FROM meta WHERE name = 'names_prime'"
_FOLDED: Final = "SELECT value FROM meta WHERE name = 'folded'"
_PRUNED: Final = "SELECT value FROM meta WHERE name = 'pruned_before'"
_NEW: Final = f"""
SELECT ({_FOLDED}), ({_PRUNED}), json_group_array(json_array(
    seq, at, prefix, run, domain || '/' || version || ':id', kind IN ('issued', 'renewed'), expires))
FROM events NOT INDEXED WHERE seq > max(?, ({_FOLDED})) AND run IS NOT NULL
"""  # noqa: S608 - statements of ours
# Each aggregate in a query of its own: two in one, SQLite reads the whole table.
_LAST: Final = f"SELECT max(min(seq) - 1, ({_FOLDED})) FROM events"  # noqa: S608 - of ours
_BEHIND: Final = f"SELECT (SELECT max(seq) FROM events) - ({_LAST})"  # noqa: S608 - of ours
# A restore raises the version of the schema: then all that is known was of another ledger.
_LEDGER: Final = f"SELECT schema_version, ({_PRIME}), ({_BEHIND}) FROM pragma_schema_version"  # noqa: S608 - of ours
_FOLD_NEXT: Final = f"""
INSERT OR IGNORE INTO names (key, at, seq)
SELECT name_key(({_PRIME}), prefix, run, domain, version), at, seq FROM events NOT INDEXED
WHERE seq > ? AND seq <= ? AND run IS NOT NULL ORDER BY 1, 2, 3
"""  # noqa: S608 - statements of ours
_END_OF_STEP: Final = "UPDATE meta SET value = max(value, min(?, (SELECT max(seq) FROM events))) WHERE name = 'folded'"
KNOWN_KEYS: Final = (
    "SELECT json_group_array(value) FROM json_each(?) WHERE EXISTS (SELECT 1 FROM names WHERE names.key = value)"
)
"""Which of these keys lead to events that are folded."""
_NEWEST_LIFE: Final = """
SELECT generated, expires FROM names CROSS JOIN events ON events.seq = names.seq
WHERE names.key = ? AND kind IN ('issued', 'renewed') AND run = ? AND prefix = ? AND domain = ? AND version = ?
ORDER BY names.at DESC LIMIT 1
"""
_FOLD: Final = "INSERT OR IGNORE INTO names (key, at, seq) VALUES "
_END_OF_SLICE: Final = "UPDATE meta SET value = max(value, ?) WHERE name = 'folded'"


class Names:
    """The names in one SQLite ledger, over the connection of one thread."""

    def __init__(self, connection: sqlite3.Connection, *, folds: bool) -> None:
        """``folds``: the connection writes, and folds the tail."""
        self._connection = connection
        self._folds = folds
        self._ledger = [0, 0]
        """The version of its schema, and its prime."""
        self.forget()

    def forget(self) -> None:
        """Forget what is known of the events: a transaction was rolled back."""
        self._folded = 0
        self._pruned_before = 0
        """Lives that ended before that moment are forgotten."""
        self._seen = 0
        """The number of the last event that is known."""
        self._tail: dict[str, tuple[int, Life]] = {}
        """The newest life of each identity after ``_folded``, with the number of its event."""
        self._entries: list[tuple[int, int, int]] = []
        """The entries of all events after ``_folded`` that are not in the slice."""
        self._slice: list[tuple[int, int, int]] = []
        """What is left to be folded of a slice, in falling order."""
        self._slice_end = 0
        self._known_changes = (-1, -1)
        """The changes by others and by this connection when all events were known."""

    def key_of(self, prefix: str, run: str, ending: str) -> int:
        """Return the key of a name; ``ending``: domain and version as in an id."""
        return name_key(self._ledger[1], prefix, run, ending)

    def keys_of_run(self, run: str, prefix: str | None) -> tuple[int, int]:
        """Return the first and the last key of the names with this run, and perhaps this prefix, after ``catch_up``."""
        free = 2 * LOWER_BITS if prefix is None else LOWER_BITS
        top = self.key_of(prefix or "", run, "") >> free
        return top << free, (top + 1 << free) - 1

    def catch_up(self) -> None:
        """Learn of all events that were written since: by others, and one by one."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        changes = version, self._connection.total_changes  # which stay while others write nothing, and we nothing
        if changes == self._known_changes:
            return
        *ledger, behind = self._connection.execute(_LEDGER).fetchone()
        if ledger != self._ledger:
            self.forget()
            self._ledger = ledger
        if (behind or 0) > MOST:
            raise Unavailable("The ledger's index of names is being made.")
        self._known_changes = changes
        folded, pruned_before, text = self._connection.execute(_NEW, (self._seen,)).fetchone()
        if folded != self._folded:
            self._drop_folded(folded)
        if pruned_before != self._pruned_before:
            self._pruned_before = pruned_before
            self._tail = {each: held for each, held in self._tail.items() if held[1].expires >= pruned_before}
        if text == "[]":
            return
        for seq, at, prefix, run, ending, is_life, expires in orjson.loads(text):
            if self._folds:
                self._entries.append((self.key_of(prefix or "", run, ending or ""), at, seq))
            if is_life:
                self._learn(f"{prefix}-{run}@{ending}", seq, Life(at, expires))
            self._seen = seq

    def behind(self) -> int:
        """Return the number of events, or a few more, that are not in the index."""
        (number,) = self._connection.execute(_BEHIND).fetchone()
        return number or 0

    def fold_next(self) -> None:
        """Fold the next STEP events, within a transaction, where nobody does that with the commits."""
        (last,) = self._connection.execute(_LAST).fetchone()
        self._connection.execute(_FOLD_NEXT, (last, last + STEP))
        self._connection.execute(_END_OF_STEP, (last + STEP,))

    def append(self, last: int, written: Sequence[tuple[str, Life, int]]) -> None:
        """Learn of events of lives that were just written, up to the number ``last``: identities, lives, keys."""
        first = last - len(written) + 1
        if first != self._seen + 1:
            return  # others are between: the next ``catch_up`` reads them all
        for seq, (identity, life, key) in enumerate(written, first):
            if self._folds:
                self._entries.append((key, life.generated, seq))
            self._learn(identity, seq, life)
        self._seen = last
        self._known_changes = self._known_changes[0], self._connection.total_changes

    def newest_lives(self, ids: Sequence[str], keys: Sequence[int], known_keys: Collection[int]) -> dict[str, Life]:
        """Return the newest life of each identity that has one; ``known_keys``: those of KNOWN_KEYS."""
        tail = self._tail
        found = {identity: tail[identity][1] for identity in ids if identity in tail}
        if known_keys:
            for identity, key in zip(ids, keys, strict=True):
                if key in known_keys:
                    self._find_folded(identity, key, found)
        return found

    def fold(self, written: int) -> None:
        """Fold a part of the tail, within the transaction that has written so many events."""
        if not self._slice:
            if len(self._entries) < SLICE:
                return
            self._slice, self._entries = sorted(self._entries, reverse=True), []
            self._slice_end = self._seen
        count = PACE * written
        part = self._slice[: -count - 1 : -1]
        del self._slice[-count:]
        insert_rows(self._connection, _FOLD, 3, list(chain.from_iterable(part)))
        if not self._slice:
            self._connection.execute(_END_OF_SLICE, (self._slice_end,))
            self._drop_folded(self._slice_end)

    def _find_folded(self, identity: str, key: int, found: dict[str, Life]) -> None:
        prefix, run, domain, version = split(identity)
        row = self._connection.execute(_NEWEST_LIFE, (key, run, prefix, domain, version)).fetchone()
        if row is not None and (identity not in found or row[0] > found[identity].generated):
            found[identity] = Life._make(row)

    def _learn(self, identity: str, seq: int, life: Life) -> None:
        held = self._tail.get(identity)
        if held is None or life.generated > held[1].generated:
            self._tail[identity] = seq, life

    def _drop_folded(self, folded: int) -> None:
        self._folded = folded
        self._seen = max(self._seen, folded)
        self._tail = {identity: held for identity, held in self._tail.items() if held[0] > folded}
        self._entries = [entry for entry in self._entries if entry[2] > folded]
        if self._slice_end <= folded:
            self._slice = []


def name_key(prime: int, prefix: str, run: str, ending: str) -> int:
    """Return the key of a name: neighbours where runs count up, which then share pages."""
    number = int.from_bytes(run.encode("utf-8", "surrogatepass"), "big") % prime
    return number << 2 * LOWER_BITS | _lower(prime, prefix, ending)


def new_prime() -> int:
    """Draw a secret prime."""
    while not _is_prime(number := secrets.randbits(_PRIME_BITS - 1) | 1 << _PRIME_BITS - 1 | 1):
        pass
    return number


@lru_cache(maxsize=4096)  # there are few prefixes, domains and versions
def _lower(prime: int, prefix: str, ending: str) -> int:
    return _digest(prime, prefix) << LOWER_BITS | _digest(prime, ending)


def _digest(prime: int, text: str) -> int:
    secret = prime.to_bytes(8, "big")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=secret).digest()
    return int.from_bytes(digest, "big") >> 64 - LOWER_BITS


def _is_prime(number: int) -> bool:
    """Miller and Rabin's test, which these witnesses make exact for numbers of this size."""
    odd, twos = number - 1, 0
    while not odd & 1:
        odd, twos = odd >> 1, twos + 1
    return not any(_witnesses_against(number, base, odd, twos) for base in _WITNESSES)


def _witnesses_against(number: int, base: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return False
    return all((power := power * power % number) != number - 1 for _ in range(twos - 1))


@cache
def _rows_of(start: str, width: int, size: int) -> str:
    place = f"({', '.join('?' * width)})"
    return start + ", ".join([place] * size)


def insert_rows(connection: sqlite3.Connection, start: str, width: int, values: Sequence[int | str | None]) -> int:
    """Insert all rows (``width`` values each, flattened) in as few statements as SIZES allows.

    Returns the number of the last row, 0 where there is none.
    """
    done, last, rows = 0, 0, len(values) // width
    for size in SIZES:
        while rows - done >= size:
            cursor = connection.execute(_rows_of(start, width, size), values[done * width : (done + size) * width])
            done, last = done + size, cursor.lastrowid or 0
    return last


def register(connection: sqlite3.Connection) -> None:
    """Give SQLite the functions of names that migrations and ``verify`` use."""
    connection.create_function("new_prime", 0, new_prime)
    connection.create_function("name_key", 5, _name_key_of_columns, deterministic=True)


def _name_key_of_columns(prime: int, prefix: str | None, run: str, domain: str | None, version: str | None) -> int:
    ending = "" if domain is None or version is None else f"{domain}/{version}:id"
    return name_key(prime, prefix or "", run, ending)
