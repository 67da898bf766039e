"""Coroutines over callbacks continue in the call that brings their reply."""

from collections.abc import Callable

import pytest

from arsenal_fast.replies import Reply, reply, run


class Port:
    """A stub of a port: it keeps the callbacks of its questions."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Callable[[int], None]]] = []

    def ask(self, what: str, done: Callable[[int], None]) -> None:
        self.asked.append((what, done))


def never(error: Exception) -> None:
    pytest.fail(repr(error))


def test_an_answer_that_is_there_at_once_is_not_waited_for() -> None:
    told: list[int] = []

    async def work() -> None:
        told.append(await reply(lambda done: done(1)))

    run(work(), never)
    assert told == [1]


def test_answers_that_come_later_take_up_the_coroutine_in_their_order() -> None:
    port, told = Port(), list[object]()

    async def work() -> None:
        told.append(await reply(port.ask, "first"))
        told.append(await reply(port.ask, "second"))

    run(work(), never)
    assert [what for what, _ in port.asked] == ["first"]
    port.asked[0][1](1)
    assert told == [1], "within the call"
    assert [what for what, _ in port.asked] == ["first", "second"]
    port.asked[1][1](2)
    assert told == [1, 2]


@pytest.mark.parametrize("answered", [0, 1])
def test_what_is_raised_is_handed_on_before_and_after_a_wait(answered: int) -> None:
    port, failures = Port(), list[Exception]()

    async def work() -> None:
        for _ in range(answered):
            await reply(port.ask, "anything")
        raise ValueError("bad")

    run(work(), failures.append)
    for _, done in list(port.asked):
        assert failures == []
        done(0)
    assert [repr(each) for each in failures] == ["ValueError('bad')"]


@pytest.mark.parametrize("waiting", [False, True])
def test_a_second_answer_is_ignored(waiting: bool) -> None:
    told: list[int] = []
    answer: Reply[int] = Reply()

    async def work() -> None:
        told.append(await answer)

    if waiting:
        run(work(), never)
    answer(1)
    answer(2)
    if not waiting:
        run(work(), never)
    assert told == [1]


def test_none_is_an_answer() -> None:
    told: list[object] = []

    async def work() -> None:
        told.append(await reply(lambda done: done(None)))

    run(work(), never)
    assert told == [None]


def test_arguments_stand_before_the_callback() -> None:
    seen: list[tuple[object, ...]] = []
    reply(lambda *arguments: seen.append(arguments[:-1]), "a", 2)
    assert seen == [("a", 2)]
