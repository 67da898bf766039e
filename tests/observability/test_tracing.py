"""The spans of one worker, as a collector gets them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from arsenal_fast import __version__
from arsenal_fast.api.handlers.problem_pages import PATHS
from arsenal_fast.api.routes import label_of
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.observability.access_log import MAX_PATH, AccessLog
from arsenal_fast.observability.logs import TextFormatter, masker
from arsenal_fast.observability.tracing import Tracer, load_sdk
from tests.support.otlp_receiver import OtlpReceiver, Span

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER = 2
NOW_NS = 1_763_805_600_000_000_000
SAMPLERS = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES")

Make = Callable[..., Tracer]


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def make(collector: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that makes a tracer with these variables."""

    def make(access_log: AccessLog | None = None, base_url: str = "https://id.example", **env: str) -> Tracer:
        for name in SAMPLERS:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **env}.items():
            monkeypatch.setenv(name, value)
        load_sdk()
        mask = masker(["hunter2-the-secret"])
        return Tracer(access_log, base_url=base_url, route_of=label_of, mask=mask, now_ns=lambda: NOW_NS)

    return make


def request(path: bytes = b"/api/v1/id", method: bytes = b"GET", flags: str | None = None) -> Request:
    traceparent = None if flags is None else f"00-{TRACE}-{PARENT}-{flags}".encode()
    return Request(
        method, path + b"?prefix=player", path, b"prefix=player", 1, Fields(traceparent=traceparent), b"", True
    )


def sent(tracer: Tracer, collector: OtlpReceiver) -> list[Span]:
    """Return the spans, all of which a tracer sends when it is closed."""
    tracer.close(timeout_s=15)
    return collector.spans


def test_a_span_has_the_names_of_the_conventions(make: Make, collector: OtlpReceiver) -> None:
    tracer = make()
    tracer.record(request(flags="01"), "r-1", "203.0.113.9", 200, 0.0015)
    (span,) = sent(tracer, collector)
    assert (span.name, span.kind, span.failed) == ("GET /api/v1/id", SERVER, False)
    assert (span.trace_id, span.parent_id) == (TRACE, PARENT)
    assert (span.start_ns, span.end_ns) == (NOW_NS - 1_500_000, NOW_NS)
    assert span.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/v1/id",
        "http.response.status_code": 200,
        "http.response.header.x-request-id": ["r-1"],
        "url.path": "/api/v1/id",
        "url.scheme": "https",
        "server.address": "id.example",
        "server.port": 443,
        "client.address": "203.0.113.9",
        "network.protocol.version": "1.1",
    }


def test_the_resource_says_which_service_and_which_process(make: Make, collector: OtlpReceiver) -> None:
    for tracer in (make(), make()):
        tracer.record(request(), "r", "local", 200, 0.0)
        tracer.close(timeout_s=15)
    resources = [span.resource for span in collector.spans]
    assert {(each["service.name"], each["service.version"]) for each in resources} == {
        ("arsenal-identity", __version__)
    }
    assert len({each["service.instance.id"] for each in resources}) == 2
    assert {each["telemetry.sdk.language"] for each in resources} == {"python"}


def test_the_operator_names_the_service_and_adds_to_the_resource(make: Make, collector: OtlpReceiver) -> None:
    tracer = make(
        OTEL_SERVICE_NAME="identity-eu", OTEL_RESOURCE_ATTRIBUTES="service.version=9,deployment.environment.name=eu"
    )
    tracer.record(request(), "r", "local", 200, 0.0)
    (span,) = sent(tracer, collector)
    told = [span.resource[name] for name in ("service.name", "service.version", "deployment.environment.name")]
    assert told == ["identity-eu", "9", "eu"]


# Sampler, its argument, the caller's flags, and whether there is a span.
SAMPLED: list[tuple[dict[str, str], str | None, bool]] = [
    ({}, None, True),
    ({}, "01", True),
    ({}, "00", False),
    ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, None, False),
    ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, "01", True),
    ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}, "00", False),
    ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, "01", False),
    ({"OTEL_TRACES_SAMPLER": "always_on"}, "00", True),
    ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, None, False),
]


@pytest.mark.parametrize(("env", "flags", "sampled"), SAMPLED)
def test_the_caller_and_the_sampler_decide(
    make: Make, collector: OtlpReceiver, env: dict[str, str], flags: str | None, sampled: bool
) -> None:
    tracer = make(**env)
    ids = tracer.record(request(flags=flags), "r", "local", 200, 0.0)
    spans = sent(tracer, collector)
    assert len(spans) == sampled
    assert [(each.trace_id, each.span_id) for each in spans] == ([] if ids is None else [(ids.trace_id, ids.span_id)])


# Request, status; name of the span, and members that it has or (None) lacks.
NAMED: list[tuple[Request, int, str, dict[str, Any]]] = [
    (request(b"/nowhere"), 404, "GET", {"http.route": None, "url.path": "/nowhere", "error.type": None}),
    (request(b"/api/v1/%ff"), 404, "GET", {"http.route": None}),
    (request(b"/api/v1/validate", b"POST"), 503, "POST /api/v1/validate", {"error.type": "503"}),
    (request(method=b"BREW"), 405, "HTTP", {"http.request.method": "_OTHER"}),
    (request(PATHS[0].encode()), 200, "GET /problems/*", {"http.route": "/problems/*"}),
    (request(b"/" + b"x" * 1000), 404, "GET", {"url.path": "/" + "x" * (MAX_PATH - 1)}),
    (request(b"/\xff/hunter2-the-secret"), 404, "GET", {"url.path": "/\\xff/***"}),
]


@pytest.mark.parametrize(("asked", "status", "name", "members"), NAMED)
def test_a_client_makes_up_no_names(
    make: Make, collector: OtlpReceiver, asked: Request, status: int, name: str, members: dict[str, Any]
) -> None:
    tracer = make()
    tracer.record(asked, "r", "local", status, 0.0)
    (span,) = sent(tracer, collector)
    assert (span.name, span.failed) == (name, status >= 500)
    assert {each: span.attributes.get(each) for each in members} == members


def test_a_holder_of_a_token_is_a_user(make: Make, collector: OtlpReceiver) -> None:
    tracer = make()
    tracer.record(request(), "r", "sub:bot>tg-1", 200, 0.0)
    (span,) = sent(tracer, collector)
    assert span.attributes["user.id"] == "bot>tg-1"
    assert "client.address" not in span.attributes


def test_the_line_of_a_request_belongs_to_its_span(make: Make, collector: OtlpReceiver) -> None:
    lines: list[str] = []
    tracer = make(AccessLog("all", TextFormatter(), lines.append))
    tracer(request(flags="01"), "r", "local", 200, 0.0)
    tracer(request(flags="00"), "r", "local", 200, 0.0)
    (span,) = sent(tracer, collector)
    assert f"trace.id={TRACE} span.id={span.span_id}" in lines[0]
    assert f"trace.id={TRACE} span.id={PARENT}" in lines[1]


def test_a_collector_that_never_answers_does_not_hold_up_the_end(
    make: Make, collector: OtlpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 0
    tracer = make(OTEL_EXPORTER_OTLP_TIMEOUT="0.2")
    tracer.record(request(), "r", "local", 200, 0.0)
    tracer.close(timeout_s=0.01)
    assert "the last spans are lost" in caplog.text
    for thread in threading.enumerate():  # it would go on trying beside the tests that follow
        if thread.name == "last spans":
            thread.join(timeout=15)
            assert not thread.is_alive()
