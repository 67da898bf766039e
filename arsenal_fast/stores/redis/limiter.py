"""The shared limiter: one EVALSHA of gcra.lua over all rows of an admission, which also returns the revision.

Packing is the hot path, tens of rows a tick: the encodings of a client's key and a quota's arguments are cached on
them. Nearly all rows of a command are one hit under one quota: such a row costs one item of one join.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final

from arsenal_fast.ratelimit import gcra
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.redis.batcher import in_pieces
from arsenal_fast.stores.redis.keys import ONE, Keys
from arsenal_fast.stores.redis.resp import bulk
from arsenal_fast.stores.redis.script import Count, Link, Script, integers

# A row costs Redis about three microseconds, during which it serves no one else: so a command takes about three
# milliseconds. (Lua's unpack() ends at some 8,000 as well.) The pieces are each atomic, not together.
MAX_ROWS: Final = 1000

SCRIPT: Final = Script(
    Path(gcra.__file__).with_name("gcra.lua").read_bytes(),
    keys=Count(1, 1),
    arguments=Count(3, 0),
    replies=Count(1, 1),
    read=integers,
)

_ENCODED: Final = attrgetter("encoded")
_QUOTA: Final = attrgetter("quota")
_NO_DIFFERENCE: Final = bulk(b"")
_ANY_QUOTA: Final = Quota(1, 1)  # where there are no rows

Done = Callable[[int, Sequence[int] | None], None]


class RedisLimiter:
    """The Limiter port over Redis; backlogs are by the clock of Redis."""

    __slots__ = ("_connection", "_keys")

    def __init__(self, connection: Link, keys: Keys = ONE) -> None:
        self._connection = connection
        self._keys = keys

    def admit(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        """Charge all rows; ``done`` gets the revision and the backlog before each row's hits (us), in order.

        0 and None for no answer. Without clients only the revision is read.
        """
        if len(clients) <= MAX_ROWS:
            self._charge(clients, quantities, done)
        else:
            self._charge_in_pieces(clients, quantities, done)

    def _charge(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        connection = self._connection
        if not connection.healthy:
            done(0, None)
            return

        def answered(reply: list[int] | None) -> None:
            if reply is None:
                self._unanswered(clients, quantities, done)
            else:
                done(reply.pop(0), reply)

        rows = len(clients)
        connection.counters.rows += rows
        SCRIPT.run(connection, rows, packed_rows(clients, quantities, self._keys), answered)

    def _unanswered(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        done(0, None)

    def _charge_in_pieces(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        revision = 0

        def send(piece: slice, each: Callable[[Sequence[int] | None], None]) -> None:
            def answered(seen: int, backlogs: Sequence[int] | None) -> None:
                nonlocal revision
                revision = seen  # of the piece that ran last: all pieces ran after ``admit`` was called
                each(backlogs)

            self._charge(clients[piece], quantities[piece], answered)

        def whole(backlogs: Sequence[int] | None) -> None:
            done(0 if backlogs is None else revision, backlogs)

        in_pieces(len(clients), MAX_ROWS, send, whole)


def packed_rows(
    clients: Sequence[Client], quantities: Sequence[int], names: Keys = ONE, *, linked: bool = True
) -> list[bytes]:
    """Pack a place for the head; the keys; the quota of the first row; the rows that are not one hit under it.

    Cells of ``also`` follow their client with the quantity 0, so they are among the latter. ``linked``: a hit is
    charged to all enforced cells of a client or to none; otherwise each row has its own quantity.
    """
    # Tens of rows a tick: calls over whole lists are faster than a loop over rows.
    keys = list(map(_ENCODED, clients))
    if None in keys:
        keys = [client.encoded or _encode(client, names.cell) for client in clients]
    quotas = list(map(_QUOTA, clients))
    usual = quotas[0] if quotas else _ANY_QUOTA
    differing = _NO_DIFFERENCE
    if quantities.count(1) < len(quantities) or quotas.count(usual) < len(quotas):
        rows = [
            b"%d %d %d %d %b" % (place, quantity, quota.step, quota.tolerance, _links(client, linked))
            for place, (client, quota, quantity) in enumerate(zip(clients, quotas, quantities, strict=True), 2)
            if quantity != 1 or quota != usual or client.also
        ]
        differing = bulk(b" ".join(rows))
    return [b"", names.packed_revision, *keys, usual.encoded or usual.keep_encoded(_arguments(usual)), differing]


def _links(client: Client, linked: bool) -> bytes:
    """Return how many rows after a client's are linked with it, and how many of all these must have room."""
    if client.plan is None or not linked:
        return b"0 1"
    return b"%d %d" % (len(client.also), len(client.plan.enforced))


def _encode(client: Client, prefix: bytes) -> bytes:
    key = client.cell or client.key_bytes
    client.encoded = encoded = b"$%d\r\n%b%b\r\n" % (len(prefix) + len(key), prefix, key)  # bulk(), in one step
    return encoded


def _arguments(quota: Quota) -> bytes:
    return bulk(b"%d" % quota.step) + bulk(b"%d" % quota.tolerance)
