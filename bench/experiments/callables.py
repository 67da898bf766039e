"""What a callback should be: a closure, a bound method, a ``functools.partial``. Making it, and being called with it.

Each takes two arguments of its maker and two of its caller, as ``Admission._settle`` and a batch's reply do.
"""

from collections.abc import Callable
from functools import partial

from bench.experiments.racing import build, race

Callback = Callable[[int, int], int]


class Holder:
    """Bound methods of one object that is there anyway, and of one made for the purpose."""

    __slots__ = ("first", "second")

    def __init__(self, first: int, second: int) -> None:
        self.first = first
        self.second = second

    def called(self, third: int, fourth: int) -> int:
        return self.first + self.second + third + fourth


def with_all(first: int, second: int, third: int, fourth: int) -> int:
    return first + second + third + fourth


def closing_over(first: int, second: int) -> Callback:
    def called(third: int, fourth: int) -> int:
        return first + second + third + fourth

    return called


def times(callback: Callback) -> Callable[[], None]:
    def run() -> None:
        for _ in range(100):
            callback(3, 4)

    return run


def main() -> None:
    there = Holder(1, 2)
    makers: dict[str, Callable[[], Callback]] = {
        "closure": lambda: closing_over(1, 2),
        "bound method of an object that is there": lambda: there.called,
        "bound method of a new object": lambda: Holder(1, 2).called,
        "functools.partial of a function": lambda: partial(with_all, 1, 2),
    }
    print(build())
    race("us to call one", {name: times(make()) for name, make in makers.items()}, per=100)
    race("us to make one and call it once", {name: partial(_make_and_call, make) for name, make in makers.items()})


def _make_and_call(make: Callable[[], Callback]) -> int:
    return make()(3, 4)


if __name__ == "__main__":
    main()
