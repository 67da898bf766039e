"""Rows of one tick leave as one command, and each caller gets its own answers."""

import asyncio

from tests.support.fake_redis import FakeRedis
from tests.support.loops import run
from tests.support.redis_backend import CLIENTS, ID, admit, connected, find


def test_a_callback_that_fails_harms_no_other() -> None:
    failures: list[object] = []

    def failing(*answers: object) -> None:
        raise RuntimeError("a caller's fault")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with FakeRedis() as fake, connected(fake) as backend:
            loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
            backend.limiter.admit(CLIENTS, [1, 1], failing)
            backend.identities.find([ID], failing)
            assert await find(backend, ID, "b").wait() == [None, None]
            assert await admit(backend).wait() == [0, 0]
            assert backend.healthy

    run(main())
    assert [str(error) for error in failures] == ["a caller's fault"] * 2
