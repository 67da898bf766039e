"""A request context from admission to response: exceptions of handlers, responses, and the headers at the end."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.router import Route, Router
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.response import tail
from arsenal_fast.replies import reply
from tests.support.rig import Rig, request

GOOD = tail(b"text/plain", b"good")
Handler = Callable[[Any, RequestContext], Any]


def serving(handler: Handler) -> Rig:
    """A worker whose only route is ``GET /x``."""
    rig = Rig()

    def nothing(_: object, context: RequestContext) -> None:
        context.respond(404, tail(b"text/plain", b""))

    routes = (Route("GET", "/x", handler),)
    rig.app.router = Router(routes, not_found=nothing, not_allowed=nothing, options=nothing)
    return rig


class Later:
    """A handler that waits for a port, as a coroutine or with a callback, and then does as the test says."""

    def __init__(self, then: Callable[[RequestContext], None]) -> None:
        self.then = then
        self.waiting: list[Callable[[object], None]] = []

    async def coroutine(self, _: object, context: RequestContext) -> None:
        await reply(self.waiting.append)
        self.then(context)

    def callback(self, _: object, context: RequestContext) -> None:
        self.waiting.append(context.guard(lambda _: self.then(context)))


def good(context: RequestContext) -> None:
    context.respond(200, GOOD)


def refusing(_: RequestContext) -> None:
    error = ProblemError(403, "Not you.", [{"parameter": "run", "detail": "It is taken."}])
    error.lines = b"X-Line: y\r\n"
    raise error


def failing(_: RequestContext) -> None:
    raise RuntimeError("the password is hunter2")


def test_a_plain_handler_responds_within_its_call() -> None:
    answer = serving(lambda _, context: good(context)).get("/x")
    assert (answer.status, answer.body) == (200, b"good")


@pytest.mark.parametrize("way", ["coroutine", "callback"])
def test_a_handler_may_respond_later(way: str) -> None:
    later = Later(good)
    client = serving(getattr(later, way)).connect()
    client.send(request("GET", "/x"))
    assert client.take() == b""
    later.waiting.pop()(None)
    assert client.answers("GET")[0].body == b"good"


def test_what_a_handler_refuses_is_a_problem_with_its_faults_and_lines() -> None:
    answer = serving(lambda _, context: refusing(context)).get("/x")
    assert (answer.status, answer.json["detail"], answer.headers["x-line"]) == (403, "Not you.", "y")
    assert answer.json["errors"] == [{"parameter": "run", "detail": "It is taken."}]


def test_a_coroutine_that_refuses_after_its_wait_does_so_too() -> None:
    later = Later(refusing)
    client = serving(later.coroutine).connect()
    client.send(request("GET", "/x"))
    later.waiting.pop()(None)
    assert client.answers("GET")[0].status == 403


@pytest.mark.parametrize("way", ["at once", "coroutine", "callback"])
def test_a_failure_is_a_500_that_tells_the_log_and_not_the_client(way: str, caplog: pytest.LogCaptureFixture) -> None:
    later = Later(failing)
    handler = (lambda _, context: failing(context)) if way == "at once" else getattr(later, way)
    client = serving(handler).connect()
    with caplog.at_level(logging.ERROR):
        client.send(request("GET", "/x"))
        for done in later.waiting:
            done(None)
    octets = client.octets
    assert client.answers("GET")[0].status == 500
    assert b"hunter2" not in octets
    assert "hunter2" in caplog.text
    client.send(request("GET", "/x"))
    for done in later.waiting[1:]:
        done(None)
    assert client.answers("GET")[0].status == 500, "the connection lives on"


def test_head_has_the_length_and_no_body() -> None:
    client = serving(lambda _, context: good(context)).connect()
    client.send(request("HEAD", "/x"))
    octets = client.take()
    assert b"Content-Length: 4\r\n" in octets
    assert octets.endswith(b"\r\n\r\n")


ENDINGS = [
    (b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", None, False),
    (b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"close", True),
    (b"GET /x HTTP/1.0\r\n\r\n", b"close", True),
    (b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", b"keep-alive", False),
]


@pytest.mark.parametrize(("octets", "option", "eof"), ENDINGS)
def test_a_response_says_whether_its_connection_ends(octets: bytes, option: bytes | None, eof: bool) -> None:
    client = serving(lambda _, context: good(context)).connect()
    client.send(octets)
    lines = [line for line in client.take().split(b"\r\n") if line.startswith(b"Connection: ")]
    assert lines == ([] if option is None else [b"Connection: " + option])
    assert client.transport.eof is eof


def test_a_draining_worker_ends_the_connection_behind_its_last_response() -> None:
    later = Later(good)
    rig = serving(later.callback)
    client = rig.connect()
    client.send(request("GET", "/x") * 2)
    rig.drain()
    for done in later.waiting:
        done(None)
    assert client.take().count(b"Connection: close\r\n") == 1
