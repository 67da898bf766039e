"""One call of a service, against servers that answer as none should."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from arsenal_fast.cli.arguments import Failure
from arsenal_fast.cli.calls import Service


@contextmanager
def server(status: int, body: bytes, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """Answers every GET with this; yields its URL, and the paths and tokens that it was sent."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", seen
        listening.shutdown()
        thread.join()


def test_a_token_is_sent_and_no_redirect_followed() -> None:
    with server(302, b"", Location="/elsewhere") as (url, seen):
        with pytest.raises(Failure, match="302 Found: no reason given") as failed:
            Service(url, "secret").call("/api/v1/limits")
        assert seen == ["/api/v1/limits Bearer secret"]
    assert failed.value.status == 1


@pytest.mark.parametrize(
    ("status", "body", "words", "exit_status"),
    [
        (200, b"<html>", "answers no JSON: is that the service", 69),
        (404, b"<html>", "404 Not Found: no reason given", 1),
        (404, b"[]", "404 Not Found: no reason given", 1),
        (503, b'{"detail": "Too busy."}', "503 Service Unavailable: Too busy.", 75),
        (400, b'{"detail": "Bad.", "errors": [{"pointer": "/a", "detail": "b"}]}', "400 Bad Request: Bad.\n  /a: b", 1),
    ],
)
def test_an_answer_that_is_no_success_is_one_sentence(status: int, body: bytes, words: str, exit_status: int) -> None:
    with server(status, body) as (url, _), pytest.raises(Failure) as failed:
        Service(url, "").call("/")
    assert words in str(failed.value)
    assert failed.value.status == exit_status
