"""Runs coroutines on uvloop, and waits for callbacks; nothing here sleeps."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import uvloop

T = TypeVar("T")

DEADLINE = 10.0  # seconds until a test that waits in vain fails


def run(main: Coroutine[Any, Any, T], deadline: float = DEADLINE) -> T:
    """Run to the end on a new uvloop; TimeoutError after the deadline; a callback's exception fails the test."""
    failures: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        async with asyncio.timeout(deadline):
            return await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(watched())
    assert not failures, failures
    return result


class Answer(Generic[T]):
    """A ``done`` callback that can be awaited, and that fails when it is called twice."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.calls: list[T] = []

    def __call__(self, value: T) -> None:
        self.calls.append(value)
        self._event.set()

    async def wait(self) -> T:
        await self._event.wait()
        assert len(self.calls) == 1, "a callback was called more than once"
        return self.calls[0]


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds; for states without a callback."""
    while not condition():  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.001)
