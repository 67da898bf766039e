"""Log lines: their form, what may not be in them, and how many of them."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from arsenal_fast import __version__, logs
from arsenal_fast.config import load
from arsenal_fast.logs import EcsFormatter, Repeats, StderrHandler, TextFormatter, escaped, trace_id, wants_access

SECRET = 'pa"ss\\wörd'


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Put the root logger back as pytest had it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger(logs.ACCESS).setLevel(logging.NOTSET)


def setup(**environ: str) -> io.StringIO:
    stream = io.StringIO()
    logs.setup(load(environ), stream)
    return stream


def documents(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_ecs_line_has_the_fields_that_elastic_asks_for() -> None:
    stream = setup(LOG_FORMAT="ecs")
    logging.getLogger("arsenal_fast.x").warning("%d left", 3, extra={"fields": {"redis.outages": 2}})
    (document,) = documents(stream)
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
        "redis.outages": 2,
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
def test_secrets_are_blotted_out_wherever_they_come_from(form: type[logging.Formatter]) -> None:
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


def test_the_configurations_secrets_are_blotted_out() -> None:
    stream = setup(JWT_SECRET="hunter22hunter22", REDIS_URL="redis://:p%40ssword@redis")
    logging.getLogger("x").error("hunter22hunter22 redis://:p%40ssword@redis p@ssword")
    assert stream.getvalue().endswith("*** redis://:***@redis ***\n")


def test_a_value_that_is_no_json_does_not_lose_the_line() -> None:
    stream = setup(LOG_FORMAT="ecs")
    logging.getLogger("x").error("m", extra={"fields": {"a": {1, 2}, "b": b"\xff"}})
    assert documents(stream)[0]["a"] == "{1, 2}"


def test_a_line_that_can_not_be_made_or_written_raises_nothing() -> None:
    stream = setup()
    logging.getLogger("x").error("%d", "no number")
    stream.close()
    logging.getLogger("x").error("nobody reads this")
    logging.getLogger().handlers[0].flush()


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

# burst 2, window 10: moment, key, admitted, what is told before it
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
    repeats = Repeats(burst=2, window=10.0)
    for now, key, admitted, told in MOMENTS:
        assert (now, list(repeats.over(now))) == (now, told)
        assert (now, repeats.admit(key, now)) == (now, admitted)


def test_messages_without_end_are_watched_in_bounded_memory_and_still_counted() -> None:
    repeats = Repeats(burst=1, window=10.0, max_keys=3)
    told: list[tuple[tuple[str, int, str], int]] = []
    for number in range(100):
        for _ in range(2):
            told += repeats.over(0.0)
            repeats.admit(("x", 1, str(number)), 0.0)
    told += repeats.over(float("inf"))
    assert [(key[2], count) for key, count in told] == [(str(number), 1) for number in range(100)]
    assert len(repeats._seen) <= 3


def test_the_handler_says_how_many_it_left_out_also_when_it_is_closed() -> None:
    stream, now = io.StringIO(), [0.0]
    handler = StderrHandler(stream, lambda: now[0])
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


TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_an_access_line_has_the_ecs_fields_of_a_request() -> None:
    stream = setup(LOG_FORMAT="ecs", LOG_LEVEL="error")
    logs.access(
        "all",
        method=b"GET",
        path=b"/api/v1/id\xff",
        status=200,
        duration=1500,
        client="203.0.113.9",
        request_id=b"r1",
        traceparent=TRACE,
    )
    (document,) = documents(stream)
    expected = {
        "event.dataset": "arsenal-identity.access",
        "message": "GET 200",
        "http.request.method": "GET",
        "url.path": "/api/v1/id\\xff",
        "http.response.status_code": 200,
        "event.duration": 1500,
        "client.address": "203.0.113.9",
        "http.request.id": "r1",
        "trace.id": "0af7651916cd43dd8448eb211c80319c",
    }
    assert {name: document.get(name) for name in expected} == expected


def line(access_log: str, status: int = 404, method: bytes = b"GET", path: bytes = b"/") -> None:
    logs.access(access_log, method=method, path=path, status=status, duration=1, client="::1")


def test_error_lines_are_bounded_whatever_clients_send() -> None:
    stream = setup()
    for number in range(1000):
        line("errors", path=b"/%d" % number, method=b"M%d" % number)
    assert stream.getvalue().count("\n") == logs.BURST


def test_all_means_all() -> None:
    stream = setup()
    for _ in range(50):
        line("all", 200)
    assert stream.getvalue().count("\n") == 50


def test_a_long_path_is_cut() -> None:
    stream = setup()
    line("all", path=b"/" * 8192)
    assert len(stream.getvalue()) < 2500


@pytest.mark.parametrize(
    ("access_log", "status", "wanted"),
    [("off", 500, False), ("errors", 399, False), ("errors", 400, True), ("errors", 503, True), ("all", 204, True)],
)
def test_access_log_decides_which_requests_have_a_line(access_log: str, status: int, wanted: bool) -> None:
    stream = setup()
    line(access_log, status)
    assert wants_access(access_log, status) is wanted
    assert bool(stream.getvalue()) is wanted


TRACEPARENTS = [
    (TRACE, "0af7651916cd43dd8448eb211c80319c"),
    (TRACE.replace(b"00-", b"01-", 1) + b"-later", "0af7651916cd43dd8448eb211c80319c"),
    (None, None),
    (b"", None),
    (TRACE.upper(), None),
    (TRACE.replace(b"00-", b"ff-", 1), None),
    (TRACE + b"\n", None),
    (TRACE[:-1], None),
    (b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01", None),
    (b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01", None),
]


@pytest.mark.parametrize(("traceparent", "trace"), TRACEPARENTS)
def test_a_trace_id_is_taken_from_a_valid_traceparent_only(traceparent: bytes | None, trace: str | None) -> None:
    assert trace_id(traceparent) == trace
