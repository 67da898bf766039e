"""The Redis of the tests starts although its port is taken for a moment."""

import socket
from collections.abc import Sequence

import pytest

from tests.support.redis_server import RedisServer


@pytest.mark.integration
def test_a_port_that_is_taken_is_tried_again_and_nothing_else_is() -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    tries: list[str | None] = []

    class Freed(RedisServer):
        """Whose port is freed after the first try."""

        def _try_to_start(self, arguments: Sequence[str], deadline: float) -> str | None:
            tries.append(super()._try_to_start(arguments, deadline))
            taken.close()
            return tries[-1]

    with Freed(port=taken.getsockname()[1]) as server:
        assert server.command("PING") == b"PONG"
    assert [text is None for text in tries] == [False, True]
    bad = RedisServer("--no-such-directive yes")
    with pytest.raises(RuntimeError, match="does not start"), bad:
        pass
    assert not bad.running
