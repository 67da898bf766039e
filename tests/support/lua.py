"""The project's Lua scripts in a real Redis, with the time as an argument.

The call of TIME is replaced in the text by the moment; everything else is the script as shipped.
Unreal about it: keys still expire by the real clock, so a test keeps its spans far from the real TTLs.
"""

from collections.abc import Sequence
from pathlib import Path

import arsenal_fast
from tests.support.redis_server import RedisServer

TIME = "redis.call('TIME')"


class ScriptAt:
    """One script, of one file or several, run at moments of the caller's choice (us)."""

    def __init__(self, server: RedisServer, *paths: str) -> None:
        self._text = "".join((Path(arsenal_fast.__file__).parent / path).read_text() for path in paths)
        assert self._text.count(TIME) == 1, "the script reads the clock once, as " + TIME
        self._server = server

    def __call__(self, now: int, keys: Sequence[str], arguments: Sequence[int | str]) -> list[int]:
        seconds, microseconds = divmod(now, 1_000_000)
        text = self._text.replace(TIME, f"{{'{seconds}', '{microseconds}'}}")
        reply = self._server.command("EVAL", text, len(keys), *keys, *arguments)
        assert isinstance(reply, list), reply
        return reply
