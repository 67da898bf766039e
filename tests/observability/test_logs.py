"""Log lines: their form, masked content, and how many of them."""

import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from arsenal_fast import __version__
from arsenal_fast.config.load import load
from arsenal_fast.observability import logs
from arsenal_fast.observability.log_writer import LogWriter
from arsenal_fast.observability.logs import EcsFormatter, LineHandler, RepeatLimit, TextFormatter, escaped
from tests.support.ecs import foreign_fields
from tests.support.logging_state import logging_kept

SECRET = 'pa"ss\\wörd'


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Put the root logger and Python's hooks back as pytest had them."""
    with logging_kept():
        yield


class Lines(LogWriter):
    """A writer that keeps the lines; what is unreal: it has room for everything, at once."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.flushed = 0

    def put(self, line: str) -> None:
        self.lines.append(line)

    def flush(self, timeout: float = 0.0) -> bool:
        self.flushed += 1
        return True

    def getvalue(self) -> str:
        """What would be in a file."""
        return "".join(f"{line}\n" for line in self.lines)


def setup(**environ: str) -> Lines:
    lines = Lines()
    config = load(environ)
    logs.setup(logs.formatter(config.log_format, config.secrets()), config.log_level, lines)
    return lines


def documents(stream: Lines) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_ecs_line_has_the_fields_that_elastic_asks_for() -> None:
    stream = setup(LOG_FORMAT="ecs")
    logging.getLogger("arsenal_fast.x").warning("%d left", 3, extra={"fields": {"url.path": "/api"}})
    (document,) = documents(stream)
    assert foreign_fields(document) == []
    assert document.pop("process.pid")
    assert str(document.pop("@timestamp"))[-5:-4] == "."
    assert document == {
        "log.level": "warning",
        "message": "3 left",
        "ecs.version": "8.11.0",
        "service.name": "arsenal-identity",
        "service.version": __version__,
        "event.dataset": "arsenal-identity.log",
        "log.logger": "arsenal_fast.x",
        "url.path": "/api",
    }


def record(message: str, created: float = 0.0) -> logging.LogRecord:
    made = logging.LogRecord("arsenal_fast.x", logging.INFO, "", 0, message, (), None)
    made.created = created
    return made


@pytest.mark.parametrize(
    ("created", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1795341600.25, "2026-11-22T10:00:00.250Z"),
        (0.9996, "1970-01-01T00:00:00.999Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_with_milliseconds(created: float, text: str) -> None:
    assert json.loads(EcsFormatter().format(record("x", created)))["@timestamp"] == text
    assert TextFormatter().format(record("x", created)).startswith(text)


def test_an_exception_is_three_fields_in_one_line() -> None:
    stream = setup(LOG_FORMAT="ecs")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (document,) = documents(stream)
    assert document["error.type"] == "ValueError"
    assert document["error.message"] == "two\nlines"
    assert "Traceback" in str(document["error.stack_trace"])
    assert foreign_fields(document) == []


def test_text_is_one_line_with_its_fields_and_an_indented_traceback() -> None:
    stream = setup(LOG_FORMAT="text")
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z INFO forged")
    except ValueError:
        logging.getLogger("arsenal_fast.x").exception("failed", extra={"fields": {"a": "b"}})
    first, *others = stream.getvalue().splitlines()
    assert first.endswith("ERROR   arsenal_fast.x failed a=b")
    assert others
    assert all(line.startswith("    | ") for line in others)


FORGERIES = ["a\nb", "a\r\nb", "a\x1b[31mb", "a\u2028b", "a\u202eb", "a\x85b", "a\0b", "a\ud800b", "a\x7fb"]


@pytest.mark.parametrize("text", FORGERIES)
@pytest.mark.parametrize("form", ["ecs", "text"])
def test_no_text_breaks_out_of_its_line(form: str, text: str) -> None:
    stream = setup(LOG_FORMAT=form)
    logging.getLogger("x").error("got %s", text, extra={"fields": {"field": text}})
    line = stream.getvalue().removesuffix("\n")
    assert line.isprintable()
    assert line.count("\\") >= 2
    if form == "ecs":
        assert json.loads(line)["message"] == f"got {text}"


def test_what_is_printable_is_not_escaped() -> None:
    assert escaped("Grüße \\ 🚀") == "Grüße \\ 🚀"


@pytest.mark.parametrize("form", [EcsFormatter, TextFormatter])
def test_secrets_are_masked_wherever_they_come_from(form: type[logging.Formatter]) -> None:
    formatter = form((SECRET,))  # type: ignore[arg-type]
    made = record(f"connecting with {SECRET} as {SECRET!r}")
    made.fields = {"url": f"redis://:{SECRET}@redis"}
    try:
        raise ValueError(SECRET)
    except ValueError:
        made.exc_info = sys.exc_info()
    line = formatter.format(made)
    assert "***" in line
    assert "wörd" not in line
    assert "w\\u00f6rd" not in line


def test_the_configurations_secrets_are_masked() -> None:
    stream = setup(JWT_SECRET="hunter22hunter22", REDIS_URL="redis://:p%40ssword@redis")
    logging.getLogger("x").error("hunter22hunter22 redis://:p%40ssword@redis p@ssword")
    assert stream.getvalue().endswith("*** redis://:***@redis ***\n")


TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGF5ZXItMSJ9.c2lnbmF0dXJlLW9mLWl0LWFsbA"


@pytest.mark.parametrize("text", [TOKEN, TOKEN[:50], TOKEN[:20], TOKEN.replace(".", "%2E")])
@pytest.mark.parametrize("form", ["ecs", "text"])
def test_what_looks_like_a_token_is_masked_whole_or_cut(form: str, text: str) -> None:
    stream = setup(LOG_FORMAT=form)
    logging.getLogger("x").error("got /%s/", text, extra={"fields": {"url.path": text}})
    assert "eyJ" not in stream.getvalue()
    assert "got /***" in stream.getvalue()


def test_words_that_begin_as_a_token_does_are_left_as_they_are() -> None:
    stream = setup()
    logging.getLogger("x").error("eyJunk keyJ")
    assert stream.getvalue().endswith("eyJunk keyJ\n")


def test_a_value_that_is_no_json_does_not_lose_the_line() -> None:
    stream = setup(LOG_FORMAT="ecs")
    logging.getLogger("x").error("m", extra={"fields": {"a": {1, 2}, "b": b"\xff"}})
    assert documents(stream)[0]["a"] == "{1, 2}"


def test_a_line_that_can_not_be_made_or_taken_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_line: str) -> None:
        raise RuntimeError("no room")

    stream = setup()
    logging.getLogger("x").error("%d", "no number")
    assert stream.lines == []
    monkeypatch.setattr(stream, "put", fail)
    logging.getLogger("x").error("nobody takes this")


class Broken:
    def __del__(self) -> None:
        raise ValueError("in a finalizer")


def warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)  # of the "with", whose end would undo what we did before it
        logging.captureWarnings(True)
        warnings.warn("a warning", stacklevel=1)


def fail_in_a_thread() -> None:
    def fail() -> None:
        raise ValueError("in a thread")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


def fail_in_the_main_thread() -> None:
    try:
        raise ValueError("in the main thread")
    except ValueError:
        sys.excepthook(*sys.exc_info())


@pytest.mark.parametrize(
    ("happen", "expected"),
    [
        (warn, "a warning"),
        (fail_in_a_thread, "ValueError: in a thread"),
        (fail_in_the_main_thread, "ValueError: in the main thread"),
        (lambda: Broken().__del__, "ValueError: in a finalizer"),
    ],
    ids=["warning", "thread", "main thread", "finalizer"],
)
def test_what_python_writes_to_stderr_by_itself_is_logged(
    happen: Callable[[], object], expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = setup()
    happen()
    assert expected in stream.getvalue()
    assert capfd.readouterr().err == ""


def test_levels_below_the_configured_one_are_not_written() -> None:
    stream = setup(LOG_LEVEL="warning")
    logging.getLogger("x").info("no")
    logging.getLogger("x").warning("yes")
    assert stream.getvalue().count("\n") == 1


def test_setting_up_again_replaces_the_handler() -> None:
    first, second = setup(), setup()
    logging.getLogger("x").error("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


KEY = ("x", logging.ERROR, "away")
OTHER = ("x", logging.ERROR, "slow")

# burst 2, window 10: moment, key, admitted, the note before it
MOMENTS: list[tuple[float, tuple[str, int, str], bool, list[tuple[tuple[str, int, str], int]]]] = [
    (0.0, KEY, True, []),
    (1.0, KEY, True, []),
    (2.0, KEY, False, []),
    (2.0, OTHER, True, []),
    (9.9, KEY, False, []),
    (10.0, KEY, True, [(KEY, 2)]),
    (11.9, OTHER, True, []),
    (12.0, OTHER, True, []),
    (19.0, KEY, True, []),
    (20.0, KEY, True, []),
    (99.0, KEY, True, []),
]


def test_a_message_is_written_burst_times_in_a_window_and_the_rest_is_counted() -> None:
    limit = RepeatLimit(burst=2, window=10.0)
    for now, key, admitted, told in MOMENTS:
        assert (now, list(limit.ended(now))) == (now, told)
        assert (now, limit.admit(key, now)) == (now, admitted)


def test_messages_without_end_are_watched_in_bounded_memory_and_still_counted() -> None:
    limit = RepeatLimit(burst=1, window=10.0, max_keys=3)
    told: list[tuple[tuple[str, int, str], int]] = []
    for number in range(100):
        for _ in range(2):
            told += limit.ended(0.0)
            limit.admit(("x", 1, str(number)), 0.0)
    told += limit.ended(float("inf"))
    assert [(key[2], count) for key, count in told] == [(str(number), 1) for number in range(100)]
    assert len(limit._seen) <= 3


def test_the_handler_says_how_many_it_left_out_also_when_it_is_closed() -> None:
    stream, now = Lines(), [0.0]
    handler = LineHandler(stream, lambda: now[0])
    for number in range(logs.BURST + 3):
        handler.handle(logging.LogRecord("x", logging.ERROR, "", 0, "try %d failed", (number,), None))
    assert stream.getvalue().count("\n") == logs.BURST
    now[0] = logs.WINDOW
    handler.handle(record("something else"))
    lines = stream.getvalue().splitlines()
    assert lines[-2:] == ["3 more in 10 s left out: try %d failed", "something else"]
    for _ in range(logs.BURST + 1):
        handler.handle(record("again"))
    handler.close()
    assert stream.getvalue().endswith("1 more in 10 s left out: again\n")
    assert stream.flushed == 1


@pytest.mark.parametrize("form", ["ecs", "text"])
def test_the_line_about_dropped_lines_has_the_form_of_the_log(form: str) -> None:
    stream = setup(LOG_FORMAT=form)
    line = stream.dropped_line(7)
    assert "7 log lines left out: the log is read too slowly" in line
    if form == "ecs":
        assert foreign_fields(json.loads(line)) == []
