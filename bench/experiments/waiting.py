"""How a request waits for its tick's batch: a callback, a coroutine driven by hand, or a task on a future.

One contender's tick: 24 requests begin, join a batch, are resumed by it in order, and answer. Nothing else happens, so
the figure is the price of waiting alone. The loop is uvloop for the tasks; the others don't need it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator

import uvloop

from bench.experiments.racing import build, race

REQUESTS = 24
answers: list[int] = []


class Request:
    """What is kept while waiting by callback."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def admitted(self, backlog: int) -> None:
        answers.append(self.number + backlog)


def by_callback() -> None:
    batch = []
    for number in range(REQUESTS):
        batch.append(Request(number))
    for request in batch:
        request.admitted(1)
    answers.clear()


class Admitted:
    """Awaited by a coroutine that somebody drives by hand."""

    __slots__ = ()

    def __await__(self) -> Generator[None, int, int]:
        return (yield)


ADMITTED = Admitted()


async def by_hand(number: int) -> None:
    answers.append(number + await ADMITTED)


def by_coroutine() -> None:
    batch: list[Coroutine[None, int, None]] = []
    for number in range(REQUESTS):
        coroutine: Coroutine[None, int, None] = by_hand(number)
        coroutine.send(None)  # type: ignore[arg-type]  # the first send of a coroutine is always None
        batch.append(coroutine)
    for coroutine in batch:
        try:  # noqa: SIM105  contextlib.suppress would be half of the figure
            coroutine.send(1)
        except StopIteration:
            pass
    answers.clear()


async def in_task(number: int, batch: list[asyncio.Future[int]], loop: asyncio.AbstractEventLoop) -> None:
    future = loop.create_future()
    batch.append(future)
    answers.append(number + await future)


async def tick(loop: asyncio.AbstractEventLoop) -> None:
    batch: list[asyncio.Future[int]] = []
    tasks = [loop.create_task(in_task(number, batch, loop)) for number in range(REQUESTS)]
    await asyncio.sleep(0)  # they begin
    for future in batch:
        future.set_result(1)
    for task in tasks:
        await task
    answers.clear()


def main() -> None:
    loop = uvloop.new_event_loop()
    by_task: Callable[[], None] = lambda: loop.run_until_complete(tick(loop))  # noqa: E731
    contenders = {"callback": by_callback, "coroutine driven by hand": by_coroutine, "task and future": by_task}
    print(build())
    race("us per request", contenders, per=REQUESTS)
    loop.close()


if __name__ == "__main__":
    main()
