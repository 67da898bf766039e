"""The access log: formats a line for each response, which ``log_writer`` writes.

ACCESS_LOG decides which requests have one. The rules of this file:

* a request without a line costs one comparison; for a line the field block is searched for its trace;
* with "errors" the lines of one method and status are bounded in time like any message that repeats;
* a line is not longer than PIPE_BUF, so that it is written in one piece;
* no query, no body and no credentials: of a request a line has its method, path, id and trace.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from arsenal_fast.http.request import Request
from arsenal_fast.observability.logs import ACCESS, BoundedLines
from arsenal_fast.observability.trace_context import TraceContext, trace_context

MAX_PATH: Final = 512  # bytes: a path of ours has under 40, a request target may have 8192
MAX_REQUEST_ID: Final = 128  # bytes; a UUID has 36
MAX_SUBJECT: Final = 128  # characters of a service token's subject, which we minted
# A byte becomes five characters at most ("\\\\xff" in JSON), so that a line stays below PIPE_BUF.


class AccessLog:
    """The access log of one worker; belongs to the event loop's thread."""

    def __init__(
        self,
        wanted: str,
        formatter: logging.Formatter,
        put: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``wanted``: "errors" or "all", as ACCESS_LOG says; ``put`` takes a line and never waits."""
        self._least = 400 if wanted == "errors" else 0
        self._each = wanted == "all"
        self._lines = BoundedLines(formatter.format, put, clock)

    def __call__(
        self,
        request: Request,
        request_id: str,
        client: str,
        status: int,
        seconds: float,
        span: TraceContext | None = None,
    ) -> None:
        """Log a response, if the setting includes it.

        ``request_id``: the one in the response; ``span``: the service's own, where there is one.
        """
        if status < self._least:
            return
        method = request.method
        # Known shapes only, so that a client can't make up messages without end.
        message = f"{text_of(method) if len(method) <= 7 and method.isalpha() else 'other'} {status}"
        fields: dict[str, object] = {
            "http.request.method": text_of(method[:MAX_REQUEST_ID]),
            "url.path": text_of(request.path[:MAX_PATH]),
            "http.response.status_code": status,
            "event.duration": int(seconds * 1e9),
            **_client(client),
            "http.request.id": request_id,
        }
        # Without a span of our own the line belongs to the caller's.
        if (trace := span or trace_context(request.fields.traceparent)) is not None:
            fields["trace.id"], fields["span.id"] = trace.trace_id, trace.span_id
        # As it stands: a "%" in a method is none of logging's.
        record = logging.LogRecord(ACCESS, logging.INFO, "", 0, message, None, None)
        record.__dict__["fields"] = fields
        self._lines.write(record, each=self._each)

    def close(self) -> None:
        """Log how many lines were left out since the last summary."""
        self._lines.close()


def _client(key: str) -> dict[str, object]:
    """Return the charged client under its ECS name."""
    if key.startswith("sub:"):
        return {"client.user.id": key.removeprefix("sub:")[:MAX_SUBJECT]}
    if "/" in key or not (key[:1].isdigit() or ":" in key):  # an IPv6 network, or no address at all
        return {"client.address": key}
    return {"client.address": key, "client.ip": key}


def text_of(data: bytes) -> str:
    """Return bytes of a client as text, with escapes for what is no UTF-8."""
    return data.decode("utf-8", "backslashreplace")
