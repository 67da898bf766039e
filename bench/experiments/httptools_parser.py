"""llhttp under Python (httptools) against our parser, over the octets of real clients.

Needs ``pip install httptools``. Two of its users: one that looks at nothing but the target, and one that does what an
ASGI server does (each field lowered and kept, the target split). Neither checks Host, refuses what is ambiguous, or
reads a value, all of which is in our figure.
"""

from collections.abc import Callable

import httptools

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
            "our parser with the last block and a template": parsing(requests, remembering=True),
            "our parser, block proven and read each time": parsing(requests, remembering=False),
            "httptools, the target alone": feeding(requests, Target(), method=False),
            "httptools, as an ASGI server": feeding(requests, Everything(), method=True),
        }
        race(f"{client}: us per request", contenders, per=len(requests))


if __name__ == "__main__":
    main()
