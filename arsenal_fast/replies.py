"""``await`` for ports that call back: coroutines that need no event loop and no task.

``await reply(store.find, ids)`` calls ``store.find(ids, done)`` and continues within ``done``.
:func:`run` starts such a coroutine. Nothing is scheduled: a coroutine continues within the call that brings its answer,
so the order of events is that of the callbacks, and tests need no loop.
"""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_UNANSWERED: Final = object()


class Reply(Generic[T]):
    """One answer from a callback, perhaps before it is awaited. A second answer is ignored."""

    __slots__ = ("_answer", "_resume")

    def __init__(self) -> None:
        self._answer: Any = _UNANSWERED
        self._resume: Callable[[], None] | None = None

    def __call__(self, answer: T) -> None:
        if self._answer is not _UNANSWERED:
            return
        self._answer = answer
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def __await__(self) -> Generator["Reply[T]", None, T]:
        if self._answer is _UNANSWERED:
            yield self
        answer: T = self._answer
        return answer

    def when_answered(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, within the call that brings the answer."""
        self._resume = resume


def reply(ask: Callable[..., None], *arguments: Any) -> Reply[Any]:
    """Call ``ask(*arguments, done)``; returns an awaitable of the one argument of ``done``."""
    answer: Reply[Any] = Reply()
    ask(*arguments, answer)
    return answer


def run(coroutine: Coroutine[Reply[Any], None, None], failed: Callable[[Exception], None]) -> None:
    """Run a coroutine up to its first missing answer, and continue it as the answers arrive.

    ``failed``: called with an exception of the coroutine, while it is handled.
    """
    try:
        waited_for = coroutine.send(None)
    except StopIteration:
        return
    except Exception as error:
        failed(error)
        return
    waited_for.when_answered(lambda: run(coroutine, failed))
