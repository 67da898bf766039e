"""A Lua script over rows: a key and three arguments each, integers for a reply; run by its digest.

NOSCRIPT (a SCRIPT FLUSH, a restarted Redis) means that nothing has run, so the same rows are sent again,
once, as EVAL: that loads and runs in one step, so no second flush can come in between. The repeat keeps the
deadline of the first command.
"""

from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Final, TypeGuard

from arsenal_fast.redis.connection import Connection
from arsenal_fast.redis.wire import Reply, bulk, is_noscript, pack

ARGUMENTS: Final = 3  # a row

Done = Callable[[Sequence[int] | None], None]


class Script:
    """One script's text and the two ways to name it in a command; ``values``: integers a row in its reply."""

    __slots__ = ("_by_digest", "_by_text", "load", "sha", "values")

    def __init__(self, text: bytes, values: int) -> None:
        self.values = values
        self.sha = sha1(text, usedforsecurity=False).hexdigest().encode()
        self.load = pack(b"SCRIPT", b"LOAD", text)
        self._by_digest = bulk(b"EVALSHA") + bulk(self.sha)
        self._by_text = bulk(b"EVAL") + bulk(text)

    def command(self, rows: int, packed: list[bytes], *, by_text: bool = False) -> bytes:
        """Fills packed[0]; the rest are bulks: the keys and then the arguments."""
        name = self._by_text if by_text else self._by_digest
        digits = b"%d" % rows
        packed[0] = b"*%d\r\n%b$%d\r\n%b\r\n" % (3 + (1 + ARGUMENTS) * rows, name, len(digits), digits)
        return b"".join(packed)

    def run(self, connection: Connection, rows: int, packed: list[bytes], done: Done) -> None:
        """``done`` gets the integers of all rows, or None; called at once if there is no connection."""
        call = _Call(self, connection, rows, packed, done)
        call.deadline = connection.send(self.command(rows, packed), call)


def is_integers(reply: Reply, count: int) -> TypeGuard[list[int]]:
    """Whether a reply is a flat array of so many integers: errors hide within arrays, too."""
    return type(reply) is list and len(reply) == count and set(map(type, reply)) == {int}


class _Call:
    __slots__ = ("connection", "deadline", "done", "packed", "rows", "script")

    def __init__(self, script: Script, connection: Connection, rows: int, packed: list[bytes], done: Done) -> None:
        self.script = script
        self.connection = connection
        self.rows = rows
        self.packed = packed
        self.done = done
        self.deadline = 0.0

    def __call__(self, reply: Reply) -> None:
        if is_integers(reply, self.rows * self.script.values):
            self.done(reply)
        elif is_noscript(reply):
            self._repair()
        else:
            self.done(None)

    def _repair(self) -> None:
        self.connection.counters.script_loads += 1
        command = self.script.command(self.rows, self.packed, by_text=True)
        self.connection.send(command, self._repaired, self.deadline)

    def _repaired(self, reply: Reply) -> None:
        self.done(reply if is_integers(reply, self.rows * self.script.values) else None)
