"""Access lines: which requests have one, and its content."""

import json
import logging
import select
from collections.abc import Iterator
from typing import Any

import pytest

from arsenal_fast.http.request import Fields, Request
from arsenal_fast.observability.access_log import MAX_PATH, AccessLog
from arsenal_fast.observability.logs import BURST, WINDOW, EcsFormatter, TextFormatter
from tests.support.ecs import foreign_fields

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01".encode()


class Pipe:
    """Takes lines; what is unreal: it has room for everything."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


def request(path: bytes = b"/api/v1/id", method: bytes = b"GET", **fields: Any) -> Request:
    fields = {"traceparent": TRACEPARENT, **fields}
    return Request(method, path + b"?secret=1", path, b"secret=1", 1, Fields(**fields), b"", True)


def logged(
    *answers: tuple[Request, str, int],
    wanted: str = "all",
    request_id: str = "r1",
    form: logging.Formatter | None = None,
    now: float = 0.0,
) -> Pipe:
    pipe = Pipe()
    access = AccessLog(wanted, form or EcsFormatter(), pipe.lines.append, lambda: now)
    for asked, client, status in answers:
        access(asked, request_id, client, status, 0.0000015)
    access.close()
    return pipe


def documents(pipe: Pipe) -> Iterator[dict[str, object]]:
    return (json.loads(line) for line in pipe.text.splitlines())


def test_a_line_has_the_ecs_fields_of_its_request() -> None:
    (document,) = documents(logged((request(b"/api/v1/id\xff"), "203.0.113.9", 200)))
    assert foreign_fields(document) == []
    expected = {
        "event.dataset": "arsenal-identity.access",
        "log.level": "info",
        "message": "GET 200",
        "http.request.method": "GET",
        "url.path": "/api/v1/id\\xff",
        "http.response.status_code": 200,
        "event.duration": 1500,
        "client.address": "203.0.113.9",
        "client.ip": "203.0.113.9",
        "http.request.id": "r1",
        "trace.id": TRACE,
        "span.id": PARENT,
    }
    assert {name: document.get(name) for name in expected} == expected


CLIENTS = [
    ("203.0.113.9", {"client.address": "203.0.113.9", "client.ip": "203.0.113.9"}),
    ("2001:db8:1:2::/64", {"client.address": "2001:db8:1:2::/64"}),
    ("local", {"client.address": "local"}),
    ("sub:sports-book", {"client.user.id": "sports-book"}),
    ("sub:a/b", {"client.user.id": "a/b"}),
]


@pytest.mark.parametrize(("client", "fields"), CLIENTS)
def test_whom_a_request_was_charged_to_has_the_name_that_ecs_has_for_it(client: str, fields: dict[str, str]) -> None:
    (document,) = documents(logged((request(), client, 200)))
    assert {name: value for name, value in document.items() if name.startswith("client")} == fields
    assert foreign_fields(document) == []


def test_a_request_without_a_trace_has_no_such_fields() -> None:
    (document,) = documents(logged((request(traceparent=None), "203.0.113.9", 200)))
    assert not {"trace.id", "span.id"} & document.keys()


def test_the_query_is_in_no_line() -> None:
    assert "secret" not in logged((request(), "::1", 200)).text


@pytest.mark.parametrize(
    ("wanted", "status", "lines"), [("errors", 399, 0), ("errors", 400, 1), ("errors", 503, 1), ("all", 204, 1)]
)
def test_access_log_decides_which_requests_have_a_line(wanted: str, status: int, lines: int) -> None:
    assert logged((request(), "::1", status), wanted=wanted).text.count("\n") == lines


def test_all_means_all() -> None:
    assert logged(*[(request(), "::1", 200)] * 50).text.count("\n") == 50


def test_error_lines_are_bounded_and_counted_whatever_clients_send() -> None:
    asked = [(request(b"/%d" % number, b"M%d" % number), "::1", 404) for number in range(1000)]
    lines = logged(*asked, wanted="errors", form=TextFormatter()).text.splitlines()
    assert len(lines) == BURST + 1
    assert lines[-1].endswith(f"{1000 - BURST} more in {WINDOW:g} s left out: other 404")


def test_a_line_fits_into_a_pipe_in_one_piece_whatever_a_client_sends() -> None:
    hostile = request(b"/" + b"\xff" * 8192, b"M" * 8192)
    for form in (EcsFormatter(), TextFormatter()):
        pipe = logged(*[(hostile, "2001:db8:1111:2222::/64", 404)] * 3, request_id="\\" * 128, form=form)
        assert pipe.text.count("\\xff") >= MAX_PATH
        assert all(len(line.encode()) < select.PIPE_BUF for line in pipe.lines)
