"""Runs coroutines on uvloop, and waits for callbacks; nothing here sleeps."""

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import uvloop

T = TypeVar("T")

DEADLINE = 10.0  # seconds until a test that waits in vain fails


def run(main: Coroutine[Any, Any, T], deadline: float = DEADLINE) -> T:
    """Run to the end on a new uvloop; TimeoutError after the deadline; a callback's exception fails the test.

    So does a transport that is left open. Its ResourceWarning must not be raised while the loop closes: uvloop would
    then leave the transport open and wait for its end, that is for ever.
    """
    failures: list[dict[str, Any]] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        async with asyncio.timeout(deadline):
            return await main

    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        result = runner.run(watched())
    finally:
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            runner.close()
    assert not failures, failures
    assert not left_open, [str(warning.message) for warning in left_open]
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
