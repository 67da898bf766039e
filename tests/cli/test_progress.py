"""What a long command shows on a terminal."""

import io
import threading
from collections.abc import Iterator
from itertools import count

from arsenal_fast.cli.progress import shown


class Terminal(io.StringIO):
    """Keeps what is written, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._written = threading.Event()

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self._written.set()

    def wait(self) -> None:
        assert self._written.wait(10)


def test_a_log_gets_nothing() -> None:
    log = io.StringIO()
    with shown(log) as show:
        assert show is None
    assert log.getvalue() == ""


def test_what_is_counted_has_a_bar_that_ends_its_line() -> None:
    terminal = Terminal()
    with shown(terminal) as show:
        assert show is not None
        show(0, 200)
        show(50, 200)
        show(200, 200)
    assert terminal.getvalue().split("\r") == [
        "",
        "[..............................]   0%",
        "[########......................]  25%",
        "[##############################] 100%\n",
    ]


def test_what_is_not_counted_shows_its_seconds() -> None:
    terminal = Terminal()
    seconds: Iterator[int] = count(0, 5)
    with shown(terminal, monotonic=lambda: next(seconds), tick_s=0.001):
        terminal.wait()
    assert terminal.getvalue().startswith("\rworking, 5 s")
    assert terminal.getvalue().endswith(" s\n")


def test_what_ends_at_once_shows_nothing() -> None:
    terminal = Terminal()
    with shown(terminal):
        pass
    assert terminal.getvalue() == ""


def test_an_exception_ends_the_line_too() -> None:
    terminal = Terminal()
    try:
        with shown(terminal) as show:
            assert show is not None
            show(1, 0)
            raise RuntimeError
    except RuntimeError:
        assert terminal.getvalue().endswith(" 100%\n")
