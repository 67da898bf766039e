"""llhttp under Python (httptools) against our parser, over the octets of real clients.

Needs ``pip install httptools``. Three of its users: one looks at nothing but the target; one does what an ASGI server
does (each field lowered and kept, the target split); one makes the Request that our parser makes, but checks no value
and refuses no repeated field, as ours does.
"""

from collections.abc import Callable

import httptools

from arsenal_fast.http.fields import REPEATED
from arsenal_fast.http.request import Fields, Request
from bench.experiments.header_block import CLIENTS, messages, parsing
from bench.experiments.racing import build, race


class Target:
    """Takes the target alone."""

    def __init__(self) -> None:
        self.complete = 0

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_message_complete(self) -> None:
        self.complete += 1


class Everything(Target):
    """Takes what an ASGI scope has."""

    def on_message_begin(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parsed = httptools.parse_url(self.url)
        self.path, self.query = parsed.path, parsed.query


class Same(Target):
    """Makes a Request with the fields that the service reads."""

    def on_message_begin(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = name.lower()
        if lowered in REPEATED:
            self.values[lowered] = value

    def on_headers_complete(self) -> None:
        get = self.values.get
        path, _, query = self.url.partition(b"?")
        fields = Fields(
            host=get(b"host"),
            accept=get(b"accept", b""),
            authorization=get(b"authorization"),
            origin=get(b"origin"),
            request_id=get(b"x-request-id"),
            forwarded_for=get(b"x-forwarded-for"),
            traceparent=get(b"traceparent"),
        )
        self.request = Request(b"GET", self.url, path, query, 1, fields, b"", True)


def feeding(requests: list[bytes], user: Target, *, method: bool) -> Callable[[], None]:
    """One connection's parser with this user."""
    parser = httptools.HttpRequestParser(user)

    def run() -> None:
        before = user.complete
        for data in requests:
            parser.feed_data(data)
            if method:
                parser.get_method()
        assert user.complete - before == len(requests)

    return run


def main() -> None:
    print(build(), "httptools", httptools.__version__)
    for client, workload in CLIENTS.items():
        requests = messages(workload)
        contenders = {
            "our parser with memory of the last block": parsing(requests, remembering=True),
            "our parser, block proven and read each time": parsing(requests, remembering=False),
            "httptools, the target alone": feeding(requests, Target(), method=False),
            "httptools, as an ASGI server": feeding(requests, Everything(), method=True),
            "httptools, into the same Request": feeding(requests, Same(), method=True),
        }
        race(f"{client}: us per request", contenders, per=len(requests))


if __name__ == "__main__":
    main()
