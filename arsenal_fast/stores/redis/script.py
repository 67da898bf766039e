"""Runs a Lua script by its digest, with a number of keys and arguments per row.

NOSCRIPT (a SCRIPT FLUSH, a restarted Redis) means that nothing has run, so the same rows are sent again,
once, as EVAL: that loads and runs in one step, so no second flush can come in between. The repeat keeps the
deadline of the first command.
"""

from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.redis.connection import OnReply
from arsenal_fast.stores.redis.resp import Reply, bulk, is_noscript, pack

MAX_HEADS: Final = 1_000  # cached beginnings of commands, some 100 bytes each

Answer = TypeVar("Answer")


class Link(Protocol):
    """Sends commands: a connection, or a shard of a cluster (shard.py)."""

    counters: Counters

    @property
    def healthy(self) -> bool: ...

    def send(self, command: bytes, on_reply: OnReply, deadline: float | None = None) -> float: ...


class Count(NamedTuple):
    """A number of items in a command: ``fixed + rows * each``."""

    fixed: int
    each: int

    def of(self, rows: int) -> int:
        return self.fixed + self.each * rows


class Script(Generic[Answer]):
    """One script, its numbers of keys and arguments, and its name in EVALSHA and EVAL.

    ``read(reply, count)``: returns the answer in a reply of ``count`` items, or None for an invalid one.
    """

    __slots__ = ("_by_digest", "_by_text", "_heads", "_items", "_keys", "_read", "_replies", "load", "sha")

    def __init__(
        self, text: bytes, *, keys: Count, arguments: Count, replies: Count, read: Callable[[Reply, int], Answer | None]
    ) -> None:
        self._read = read
        self.sha = sha1(text, usedforsecurity=False).hexdigest().encode()
        self.load = pack(b"SCRIPT", b"LOAD", text)
        self._keys = keys
        self._items = Count(3 + keys.fixed + arguments.fixed, keys.each + arguments.each)
        self._replies = replies
        self._by_digest = bulk(b"EVALSHA") + bulk(self.sha)
        self._by_text = bulk(b"EVAL") + bulk(text)
        self._heads: dict[int, bytes] = {}  # by the number of rows

    def command(self, rows: int, packed: list[bytes], *, by_text: bool = False) -> bytes:
        """Build the command. Fills packed[0]; the rest are bulks: the keys and then the arguments."""
        packed[0] = self._head(rows, self._by_text) if by_text else self._heads.get(rows) or self._keep_head(rows)
        return b"".join(packed)

    def _keep_head(self, rows: int) -> bytes:
        head = self._head(rows, self._by_digest)
        if len(self._heads) < MAX_HEADS:
            self._heads[rows] = head
        return head

    def _head(self, rows: int, name: bytes) -> bytes:
        keys = bulk(b"%d" % self._keys.of(rows))
        return b"*%d\r\n%b%b" % (self._items.of(rows), name, keys)

    def run(self, connection: Link, rows: int, packed: list[bytes], done: Callable[[Answer | None], None]) -> None:
        """Run the script; ``done`` gets the answer, or None, at once if there is no connection."""
        count = self._replies.of(rows)

        def answered(reply: Reply) -> None:
            answer = self._read(reply, count)
            if answer is None and is_noscript(reply):
                connection.counters.script_loads += 1
                connection.send(self.command(rows, packed, by_text=True), repaired, deadline)
            else:
                done(answer)

        def repaired(reply: Reply) -> None:
            done(self._read(reply, count))

        deadline = connection.send(self.command(rows, packed), answered)


def script_text(*names: str) -> bytes:
    """Return the text of these Lua files in order; the last one uses functions of the others."""
    return b"".join(Path(__file__).with_name(name).read_bytes() for name in names)


def integers(reply: Reply, count: int) -> list[int] | None:
    """Return a flat array of ``count`` integers, else None: an array may contain errors."""
    if type(reply) is list and len(reply) == count and set(map(type, reply)) == {int}:
        return reply
    return None
