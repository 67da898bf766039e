"""A Lua script: keys and arguments, most of them so many a row; run by its digest.

NOSCRIPT (a SCRIPT FLUSH, a restarted Redis) means that nothing has run, so the same rows are sent again,
once, as EVAL: that loads and runs in one step, so no second flush can come in between. The repeat keeps the
deadline of the first command.
"""

from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from arsenal_fast.redis.connection import Connection
from arsenal_fast.redis.wire import Reply, bulk, is_noscript, pack

Answer = TypeVar("Answer")


class Count(NamedTuple):
    """How many there are in a command of some rows: ``fixed + rows * each``."""

    fixed: int
    each: int


class Script(Generic[Answer]):
    """One script's text, its shape, and the two ways to name it in a command.

    ``read(reply, count)``: the answer in a reply of ``count`` items, or None when it is none.
    """

    __slots__ = ("_arguments", "_by_digest", "_by_text", "_keys", "_replies", "load", "read", "sha")

    def __init__(
        self, text: bytes, *, keys: Count, arguments: Count, replies: Count, read: Callable[[Reply, int], Answer | None]
    ) -> None:
        self.read = read
        self.sha = sha1(text, usedforsecurity=False).hexdigest().encode()
        self.load = pack(b"SCRIPT", b"LOAD", text)
        self._keys = keys
        self._arguments = Count(3 + keys.fixed + arguments.fixed, keys.each + arguments.each)
        self._replies = replies
        self._by_digest = bulk(b"EVALSHA") + bulk(self.sha)
        self._by_text = bulk(b"EVAL") + bulk(text)

    def command(self, rows: int, packed: list[bytes], *, by_text: bool = False) -> bytes:
        """Fills packed[0]; the rest are bulks: the keys and then the arguments."""
        name = self._by_text if by_text else self._by_digest
        fixed, each = self._keys
        digits = b"%d" % (fixed + each * rows)
        fixed, each = self._arguments
        packed[0] = b"*%d\r\n%b$%d\r\n%b\r\n" % (fixed + each * rows, name, len(digits), digits)
        return b"".join(packed)

    def run(
        self, connection: Connection, rows: int, packed: list[bytes], done: Callable[[Answer | None], None]
    ) -> None:
        """``done`` gets the answer, or None; called at once if there is no connection."""
        fixed, each = self._replies
        call = _Call(self, connection, rows, packed, fixed + each * rows, done)
        call.deadline = connection.send(self.command(rows, packed), call)


def script_text(*names: str) -> bytes:
    """The text of a script of this package, after those whose functions it uses."""
    return b"".join(Path(__file__).with_name(name).read_bytes() for name in names)


def integers(reply: Reply, count: int) -> list[int] | None:
    """A flat array of so many integers, else None: errors hide within arrays, too."""
    if type(reply) is list and len(reply) == count and set(map(type, reply)) == {int}:
        return reply
    return None


class _Call(Generic[Answer]):
    __slots__ = ("connection", "count", "deadline", "done", "packed", "rows", "script")

    def __init__(
        self,
        script: Script[Answer],
        connection: Connection,
        rows: int,
        packed: list[bytes],
        count: int,
        done: Callable[[Answer | None], None],
    ) -> None:
        self.script = script
        self.connection = connection
        self.rows = rows
        self.packed = packed
        self.count = count
        self.done = done
        self.deadline = 0.0

    def __call__(self, reply: Reply) -> None:
        answer = self.script.read(reply, self.count)
        if answer is None and is_noscript(reply):
            self._repair()
        else:
            self.done(answer)

    def _repair(self) -> None:
        self.connection.counters.script_loads += 1
        command = self.script.command(self.rows, self.packed, by_text=True)
        self.connection.send(command, self._repaired, self.deadline)

    def _repaired(self, reply: Reply) -> None:
        self.done(self.script.read(reply, self.count))
