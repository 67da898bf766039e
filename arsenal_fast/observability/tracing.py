"""Server spans by OpenTelemetry: one for each response, sent by OTLP over HTTP.

The SDK reads the OTEL_* variables and decides what is sampled; names and attributes are those of the semantic
conventions for HTTP. The rules of this file:

* a span is made when its response is, from what the access log gets: without spans no request costs anything;
* the loop never waits: spans go into the SDK's queue, which drops the oldest where it is full; the SDK's thread sends;
* no query, no body and no credentials: a span has no more of a request than a line of the access log has.
"""

import importlib
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from arsenal_fast import __version__
from arsenal_fast.http.grammar import METHODS
from arsenal_fast.http.request import Request
from arsenal_fast.observability.access_log import MAX_PATH, AccessLog, text_of
from arsenal_fast.observability.logs import SERVICE
from arsenal_fast.observability.trace_context import TraceContext, trace_context

FLUSH_S: Final = 2.0
"""Seconds that the last spans may take to be sent at the end: less than the supervisor gives beyond DRAIN_SECONDS."""

_SCOPE: Final = "arsenal_fast"
_OTHER: Final = "_OTHER"
"""What the conventions write for a method that they don't know."""
_NS: Final = 1_000_000_000
_PORTS: Final = {"http": 80, "https": 443}

log = logging.getLogger(__name__)


def load_sdk() -> None:
    """Import the SDK and its HTTP client, some 15 MB: before the workers are forked, so that they share the memory."""
    for name in ("opentelemetry.sdk.trace.export", "opentelemetry.exporter.otlp.proto.http.trace_exporter", "requests"):
        importlib.import_module(name)


class Tracer:
    """Makes the spans of one worker, and calls the access log with their ids."""

    def __init__(
        self,
        access_log: AccessLog | None,
        *,
        base_url: str,
        route_of: Callable[[Request], str | None],
        mask: Callable[[str], str],
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Start the thread that sends; to be called after a fork, with the extra ``otel`` installed.

        Args:
            access_log: called with each response, too.
            base_url: where clients find the service.
            route_of: returns the route of a request as the metrics name it; None for an unknown path.
            mask: hides what may be a secret in a path or a request id.
            now_ns: wall clock.
        """
        from opentelemetry import context, trace  # noqa: PLC0415 an extra

        self._access_log = access_log
        self._route_of = route_of
        self._mask = mask
        self._now_ns = now_ns
        self._trace = trace
        self._root = context.Context()
        self._failed = trace.Status(trace.StatusCode.ERROR)
        self._provider = _provider()
        self._tracer = self._provider.get_tracer(_SCOPE, __version__)
        url = urlsplit(base_url)
        self._of_service = {
            "url.scheme": url.scheme,
            "server.address": url.hostname,
            "server.port": url.port or _PORTS[url.scheme],
        }

    def __call__(self, request: Request, request_id: str, client: str, status: int, seconds: float) -> None:
        """Make the span of a response if it is sampled, and log the response as the access log would."""
        ids = self.record(request, request_id, client, status, seconds)
        if self._access_log is not None:
            self._access_log(request, request_id, client, status, seconds, ids)

    def record(
        self, request: Request, request_id: str, client: str, status: int, seconds: float
    ) -> TraceContext | None:
        """Make the span of a response; returns its ids, or None where it is not sampled."""
        method = request.method.decode("ascii") if request.method in METHODS else _OTHER
        route = self._route_of(request)
        attributes: dict[str, object] = {
            "http.request.method": method,
            "http.response.status_code": status,
            "http.response.header.x-request-id": [self._mask(request_id)],
            "url.path": self._mask(text_of(request.path[:MAX_PATH])),
            "network.protocol.version": f"1.{request.minor}",
            **_client(client),
            **self._of_service,
        }
        if route is not None:
            attributes["http.route"] = route
        if status >= 500:
            attributes["error.type"] = str(status)
        verb = "HTTP" if method == _OTHER else method
        ended_ns = self._now_ns()
        span = self._tracer.start_span(
            verb if route is None else f"{verb} {route}",
            self._parent(request),
            self._trace.SpanKind.SERVER,
            attributes,
            start_time=ended_ns - int(seconds * _NS),
        )
        if not span.is_recording():
            return None
        if status >= 500:
            span.set_status(self._failed)
        span.end(ended_ns)
        ids = span.get_span_context()
        return TraceContext(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", True)

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Send what is left, for a bounded time; no span may be made from then on."""
        # A thread of its own: the SDK waits longer for a collector that does not answer.
        flushing = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        flushing.start()
        flushing.join(timeout_s)
        if flushing.is_alive():
            log.warning("the last spans are lost: the collector did not take them within %g s", timeout_s)

    def _parent(self, request: Request) -> Any:
        """Return the context of the caller's span; an empty one where it named none."""
        caller = trace_context(request.fields.traceparent)
        if caller is None:
            return self._root
        trace = self._trace
        span = trace.SpanContext(
            int(caller.trace_id, 16),
            int(caller.span_id, 16),
            is_remote=True,
            trace_flags=trace.TraceFlags(caller.sampled),
        )
        return trace.set_span_in_context(trace.NonRecordingSpan(span), self._root)


def _client(key: str) -> dict[str, object]:
    """Return the charged client under its name in the conventions."""
    return {"user.id": key.removeprefix("sub:")} if key.startswith("sub:") else {"client.address": key}


def _provider() -> Any:
    """Return what makes tracers, as the OTEL_* variables say, with a queue and a thread that sends."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 an extra
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 an extra

    ours = {"service.name": SERVICE, "service.version": __version__, "service.instance.id": str(uuid.uuid4())}
    given = OTELResourceDetector().detect().attributes  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
    provider = TracerProvider(resource=Resource.create({**ours, **given}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
