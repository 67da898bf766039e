"""The limiter of a Redis that has the identities beside the cells: one command charges, and issues or looks up.

What a request needs is fetched by the command that admits it, where that is known beforehand: one trip instead of two,
and an identity of its own command would be nearly alone in it.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Final

from arsenal_fast.identity.validity import (
    Fetched,
    Issued,
    Life,
    LookedUp,
    Outcome,
    StoreRecord,
    Terms,
    Wanted,
    make_record,
)
from arsenal_fast.ratelimit import gcra
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.stores.redis.identities import packed_keys
from arsenal_fast.stores.redis.limiter import RedisLimiter, packed_rows
from arsenal_fast.stores.redis.resp import Reply, bulk
from arsenal_fast.stores.redis.script import Count, Script, integers, script_text

MAX_ROWS: Final = 1000
"""Clients and identities of a command, as in limiter.py: Redis takes three milliseconds. Further identities are left
out."""

_EACH: Final = 4
"""Integers of an identity in the reply."""

_PLACES: Final = tuple(b"%d " % place for place in (*range(2, MAX_ROWS + 2), 1))
"""The place of a row's key; the last one, of row -1, is that of the revision, which is charged to nobody."""


def _read(reply: Reply, _count: int) -> list[int] | None:
    return integers(reply, len(reply)) if isinstance(reply, list) else None


SCRIPT: Final = Script(
    script_text("record.lua", "issue_row.lua", "issue_passing.lua")
    + Path(gcra.__file__).with_name("gcra.lua").read_bytes(),
    keys=Count(1, 1),
    arguments=Count(5, 0),
    replies=Count(1, 1),
    read=_read,
)

_ID: Final = attrgetter("id")
_TERMS: Final = attrgetter("terms")
_OUTCOMES: Final = {int(outcome): outcome for outcome in Outcome}
_MISSING: Final = 6
"""The outcome of a look-up that finds nothing, in issue_passing.lua; one that is left out has no outcome here."""
_PROVISIONAL: Final = Outcome.PROVISIONAL
_NOT_FOUND: Final = LookedUp(None)

Done = Callable[[int, Sequence[int] | None, Sequence[Fetched | None]], None]


class RedisFetchingLimiter(RedisLimiter):
    """The FetchingLimiter port over one Redis."""

    __slots__ = ()

    def admit_and_fetch(
        self,
        clients: Sequence[Client],
        quantities: Sequence[int],
        rows: Sequence[int],
        wanted: Sequence[Wanted],
        done: Done,
    ) -> None:
        """Charge all rows as ``admit`` does, and issue or look up the identities of those that pass."""
        asked = wanted[: max(MAX_ROWS - len(clients), 0)]
        left_out = [None] * (len(wanted) - len(asked))
        if not self._connection.healthy or not asked:
            nothing = [None] * len(wanted)
            self.admit(clients, quantities, lambda revision, backlogs: done(revision, backlogs, nothing))
            return

        def answered(reply: list[int] | None) -> None:
            fetched = None if reply is None else read_fetched(reply[last:], asked)
            if reply is None or fetched is None:
                done(0, None, ())
            else:
                done(reply[0], reply[1:last], [*fetched, *left_out])

        last = 1 + len(clients)
        count = len(clients) + len(asked)
        self._connection.counters.rows += count
        *packed, quota, differing = packed_rows(clients, quantities, self._keys)
        identities = packed_keys(self._keys, list(map(_ID, asked)))
        packed += (identities, quota, differing, bulk(b"%d" % len(asked)), _packed_terms(rows, asked))
        SCRIPT.run(self._connection, count, packed, answered)


def _packed_terms(rows: Sequence[int], wanted: Sequence[Wanted]) -> bytes:
    rows = rows[: len(wanted)]
    places, terms = map(_PLACES.__getitem__, rows), list(map(_TERMS, wanted))
    if terms.count(terms[0]) == len(terms):  # as nearly always
        text = _text_of(terms[0])
        return bulk(text.join(places) + text)
    return bulk(b"".join(chain.from_iterable(zip(places, map(_text_of, terms), strict=True))))


@lru_cache(maxsize=100)  # there is an epoch for each prefix that was revoked as a whole
def _text_of(terms: Terms) -> bytes:
    return b"%d %d %d " % terms


def read_fetched(values: Sequence[int], wanted: Sequence[Wanted]) -> list[Fetched | None] | None:
    """Parse what issue_passing.lua adds to the reply; None where the number of its integers is wrong."""
    if len(values) == _EACH:  # most rows of a command are issued in the same millisecond and share one life
        return [_read_one(wanted[0], *values)] * len(wanted)
    if len(values) != _EACH * len(wanted):
        return None
    return list(map(_read_one, wanted, values[::4], values[1::4], values[2::4], values[3::4]))


def _read_one(wanted: Wanted, code: int, generated: int, expires: int, floor: int) -> Fetched | None:
    outcome = _OUTCOMES.get(code)
    if outcome is None:
        return _NOT_FOUND if code == _MISSING else None
    life = make_record(Life, (generated, expires))
    if wanted.terms.ttl:
        return make_record(Issued, (outcome, life))
    record = make_record(StoreRecord, (life, floor, outcome is _PROVISIONAL))
    return make_record(LookedUp, (record,))
