"""Spans of a running service, as a collector gets them: from two workers, from none, and to one that is away."""

import json
import sys
from collections.abc import Mapping
from time import monotonic
from typing import Final

import pytest

from arsenal_fast.observability.tracing import FLUSH_S
from tests.support.http_client import Client, clients, post, request
from tests.support.loops import run
from tests.support.otlp_receiver import OtlpReceiver, Span
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess, command, free_port

pytestmark = pytest.mark.integration

CONNECTIONS: Final = 24
ASKED: Final = 12
"""Requests of each connection: enough for the template of the fast path."""
ISSUE: Final = "/api/v1/id?prefix=player&run=1"
WITHOUT_EXTRA: Final = (
    sys.executable,
    "-c",
    "import sys\nsys.modules['opentelemetry'] = None\nfrom arsenal_fast.cli.main import main\nsys.exit(main())",
)


def traced(collector: OtlpReceiver, **env: str) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "50", **env}


def traceparent(connection: int, number: int, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{connection + 1:032x}-{number + 1:016x}-{flags}"}


def by_parent(spans: list[Span]) -> Mapping[tuple[int, int], Span]:
    found = {(int(span.trace_id, 16) - 1, int(span.parent_id, 16) - 1): span for span in spans}
    assert len(found) == len(spans), "a request has two spans"
    return found


def test_every_request_of_two_workers_has_its_span_below_the_callers(redis: RedisServer) -> None:
    async def scenario(port: int) -> None:
        async with clients(port, CONNECTIONS) as opened:
            for number in range(ASKED):
                for connection, client in enumerate(opened):
                    answer = await client.ask(request("GET", ISSUE, traceparent(connection, number)))
                    assert answer.status == 200

    with OtlpReceiver() as collector:
        env = traced(collector, REDIS_URL=redis.url, WORKERS="2", RATE_LIMIT_REQUESTS="0", ACCESS_LOG="all")
        with ServiceProcess(**env, LOG_FORMAT="ecs") as service:
            run(scenario(service.port))
            spans = by_parent(collector.wait(CONNECTIONS * ASKED))
    assert spans.keys() == {(one, other) for one in range(CONNECTIONS) for other in range(ASKED)}
    assert {span.name for span in spans.values()} == {"GET /api/v1/id"}
    assert len({span.resource["service.instance.id"] for span in spans.values()}) == 2
    assert all(span.end_ns >= span.start_ns for span in spans.values())
    lines = [json.loads(line) for line in service.stderr.splitlines()]
    logged = {(line["trace.id"], line["span.id"]) for line in lines if "trace.id" in line}
    assert logged == {(span.trace_id, span.span_id) for span in spans.values()}


def test_refusals_and_unknown_paths_have_spans_and_what_the_caller_leaves_out_has_none() -> None:
    async def scenario(port: int) -> None:
        async with await Client.open(port) as client:
            for number in range(3):  # of them the last is refused
                await client.ask(request("GET", ISSUE, traceparent(0, number)))
            await client.ask(request("GET", ISSUE, traceparent(1, 0, "00")))
            await client.ask(request("GET", "/nowhere", traceparent(2, 0)))
            await client.ask(post("/api/v1/validate", {"identity": 1}, traceparent(3, 0)))
            await client.ask(request("GET", "/api/health/live"))  # without a trace: the ratio decides

    with OtlpReceiver() as collector:
        env = traced(collector, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
        with ServiceProcess(**env, RATE_LIMIT_REQUESTS="2") as service:
            run(scenario(service.port))
        spans = by_parent(collector.spans)  # the end has sent them
    told = {key: (span.name, span.attributes["http.response.status_code"]) for key, span in spans.items()}
    assert told == {
        (0, 0): ("GET /api/v1/id", 200),
        (0, 1): ("GET /api/v1/id", 200),
        (0, 2): ("GET /api/v1/id", 429),
        (2, 0): ("GET", 404),
        (3, 0): ("POST /api/v1/validate", 429),
    }


@pytest.mark.parametrize("status", [None, 0, 503], ids=["away", "silent", "busy"])
def test_a_collector_that_takes_nothing_harms_no_request_and_no_end(status: int | None) -> None:
    async def scenario(port: int) -> None:
        async with await Client.open(port) as client:
            for _ in range(200):  # more than the queue has room for
                assert (await client.get(ISSUE)).status == 200

    with OtlpReceiver(status or 0) as collector:
        url = f"http://127.0.0.1:{free_port()}" if status is None else collector.url
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "50"}
        bounds = {"OTEL_BSP_MAX_QUEUE_SIZE": "20", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10"}
        with ServiceProcess(**env, **bounds, RATE_LIMIT_REQUESTS="0") as service:
            run(scenario(service.port))
            begun = monotonic()
            assert service.stop() == 0
            seconds = monotonic() - begun
    assert "Traceback" not in service.stderr
    assert "the last spans are lost" in service.stderr
    print(f"a collector that is {status}: ended {seconds:.1f} s after the signal, of which {FLUSH_S:g} s for spans")


@pytest.mark.parametrize("env", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}])
def test_without_spans_the_sdk_is_not_even_loaded(env: dict[str, str]) -> None:
    async def scenario(port: int) -> None:
        async with await Client.open(port) as client:
            assert (await client.get(ISSUE)).status == 200

    with OtlpReceiver() as collector:
        with ServiceProcess(program=WITHOUT_EXTRA, **traced(collector, **env)) as service:
            run(scenario(service.port))
        assert collector.spans == []


def test_without_the_extra_the_start_says_what_is_missing() -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
    for name in ("serve", "check"):
        told = command(name, program=WITHOUT_EXTRA, env=env)
        assert told.returncode == 78
        assert told.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT needs the extra otel: ")
        assert "Traceback" not in told.stderr
