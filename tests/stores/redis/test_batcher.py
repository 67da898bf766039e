"""Rows of one tick are sent as one command, and each caller gets its own results."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import permutations

import pytest

from arsenal_fast.stores.redis.batcher import Batcher, gather, in_pieces
from tests.support.fake_redis import FakeRedis
from tests.support.loops import Answer, run
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


Told = list[Sequence[int] | None]


@pytest.mark.parametrize("total", [0, 1, 3, 4, 6, 7])
def test_many_rows_are_sent_in_pieces_and_answered_as_one(total: int) -> None:
    rows = list(range(total))
    sent: list[list[int]] = []
    told: Told = []

    def send(piece: slice, done: Callable[[Sequence[int] | None], None]) -> None:
        sent.append(rows[piece])
        done([10 * row for row in rows[piece]])

    in_pieces(total, 3, send, told.append)
    assert [row for piece in sent for row in piece] == rows
    assert max(map(len, sent)) <= 3
    assert told == [[10 * row for row in rows]]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_pieces_may_be_answered_in_any_order(order: tuple[int, ...]) -> None:
    answers: list[Callable[[], None]] = []
    told: Told = []
    in_pieces(7, 3, lambda piece, done: answers.append(lambda: done([piece.start])), told.append)
    for index in order:
        assert told == []
        answers[index]()
    assert told == [[0, 3, 6]]


def test_one_piece_without_an_answer_is_none_for_all_once() -> None:
    told: Told = []
    in_pieces(7, 3, lambda piece, done: done(None if piece.start == 3 else [piece.start]), told.append)
    assert told == [None]


def test_rows_of_one_tick_leave_together_and_each_caller_gets_its_own() -> None:
    async def main() -> None:
        sent: list[list[int]] = []

        def send(rows: Sequence[int], done: Callable[[Sequence[int] | None], None]) -> None:
            sent.append(list(rows))
            done([10 * row for row in rows])

        batcher = Batcher(send, 100)
        answers: list[Answer[Sequence[int] | None]] = [Answer() for _ in range(3)]
        for answer, rows in zip(answers, ([1, 2], [], [3]), strict=True):
            batcher.submit(rows, answer)
        assert sent == [], "at the end of the tick"
        assert [await answer.wait() for answer in answers] == [[10, 20], [], [30]]
        assert sent == [[1, 2, 3]]
        again: Answer[Sequence[int] | None] = Answer()
        batcher.submit([4], again)
        assert await again.wait() == [40]
        assert sent == [[1, 2, 3], [4]]

    run(main())


def test_without_an_answer_every_caller_gets_none() -> None:
    async def main() -> None:
        batcher: Batcher[int, int] = Batcher(lambda _, done: done(None), 100)
        answers: list[Answer[Sequence[int] | None]] = [Answer(), Answer()]
        for answer in answers:
            batcher.submit([1], answer)
        assert [await answer.wait() for answer in answers] == [None, None]

    run(main())


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("missing", [None, 0, 2])
def test_groups_answered_in_any_order_give_the_rows_in_theirs(order: Sequence[int], missing: int | None) -> None:
    waiting: dict[int, Callable[[], None]] = {}
    answers: list[Sequence[int] | None] = []

    def send(key: int, indexes: Sequence[int], done: Callable[[Sequence[int] | None], None]) -> None:
        waiting[key] = lambda: done(None if key == missing else [10 * index for index in indexes])

    gather({0: [1, 3], 1: [0], 2: [2, 4]}, send, answers.append)
    for key in order:
        assert answers == []
        waiting[key]()
    assert answers == ([[0, 10, 20, 30, 40]] if missing is None else [None])


def test_no_groups_are_no_rows() -> None:
    answers: list[Sequence[int] | None] = []
    gather({}, lambda *_: None, answers.append)
    assert answers == [[]]
