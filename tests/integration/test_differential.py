"""The fast path gives the responses of the handlers over real sockets: TLS, one and two workers, an SQLite ledger.

Two services get the same bytes; in one of them the fast path is turned off. What else may differ between
installations is compared in one process: ``tests/api/fastpath/test_matrix.py``.
"""

import re
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from arsenal_fast.secret import Secret
from arsenal_fast.tokens.keys import Keys
from tests.support.certificates import good_pair
from tests.support.made_ids import Ids
from tests.support.raw_client import RawClient, masked
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess

pytestmark = pytest.mark.integration

WITHOUT_FAST_PATH = (
    sys.executable,
    "-c",
    "import functools, sys\n"
    "from arsenal_fast.cli.main import main\n"
    "from arsenal_fast.server import parts\n"
    "parts.Settings = functools.partial(parts.Settings, fast_path=False)\n"
    "sys.exit(main())",
)
ENV = {
    **REPLICA,
    "ACCESS_LOG": "all",
    "CORS_ORIGIN": "https://a.example,https://b.example",
    "PROTECTED_PREFIXES": "vip",
    "RATE_LIMIT_REQUESTS": "150",
    "RATE_LIMIT_WINDOW": "31536000",  # so long that nothing comes back within the test
    "TRUSTED_PROXIES": "127.0.0.1",
}
KEYS = Keys(Secret(REPLICA["JWT_SECRET"]), issuer=REPLICA["API_BASE_URL"])
PLAYER = '{"identity":"player-1@sports.api.yourbook.com/v1:id"}'
TWO = '{"environments":[{"name":"a","prefix":"player","run":"1"},{"name":"b","prefix":"bot","run":"2"}]}'


def get(target: str, fields: str = "", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode()


def post(target: str, body: str, fields: str = "") -> bytes:
    return get(target, f"{fields}Content-Length: {len(body)}\r\n", "POST") + body.encode()


def messages(authorization: str) -> list[bytes]:
    """What a proxy forwards for three clients: each request is repeated until it is known."""
    proxied = [
        f"X-Forwarded-For: 198.51.100.{number % 3}\r\nX-Request-Id: r{number}\r\nOrigin: https://{origin}.example\r\n"
        for origin in "abc"
        for number in range(24)  # a template with slots is made after 16 requests
    ]
    targets = ["/api/v1/id?prefix=player&run=1", "/api/v1/id?prefix=player&run=2", "/api/v1/id?prefix=player"]
    issued = [get(targets[number % 3], fields) for number, fields in enumerate(proxied)]
    token = authorization + "X-Request-Id: t\r\n"
    return [
        *issued,
        *[get("/api/v1/id?prefix=vip&run=1", token)] * 3,
        *[get("/api/v1/id?prefix=vip&run=1")] * 3,
        *[get(targets[0], method=method) for method in ("HEAD", "OPTIONS", "PUT", "BREW", "GET", "GET")],
        *[post("/api/v1/validate", PLAYER, token)] * 4,
        *[post("/api/v1/identities", TWO, token)] * 4,
        *[post("/api/v1/validate", PLAYER[:-1], token)] * 2,
        *(post("/api/v1/revoke", PLAYER, token), post("/api/v1/validate", PLAYER, token)),
        *[get(targets[0])] * 3,
        *(get("/api/v1/limits"), get("/api/v1/nothing"), get("/api/v1/id?run="), get("/api/health/live")),
        *[get(targets[0], "Connection: close\r\n"), get(targets[0], "X-A : b\r\n"), get(targets[0])],
    ]


@contextmanager
def two_services(redis: RedisServer, directory: Path, env: dict[str, str]) -> Iterator[tuple[ServiceProcess, ...]]:
    """One with the fast path, one without, each with a store and a ledger of its own."""
    own = [
        {"REDIS_URL": f"redis://127.0.0.1:{redis.port}/{number}", "DATABASE_URL": f"sqlite:///{directory}/{number}.db"}
        for number in (1, 2)
    ]
    with (
        ServiceProcess(**ENV, **env, **own[0]) as fast,
        ServiceProcess(program=WITHOUT_FAST_PATH, **ENV, **env, **own[1]) as slow,
    ):
        yield fast, slow


class Pair:
    """Connections to both services, by number; one that a response has closed is opened again."""

    def __init__(self, services: tuple[ServiceProcess, ...], tls: ssl.SSLContext | None) -> None:
        self._services = services
        self._tls = tls
        self._clients: dict[int, list[RawClient]] = {}

    def ask(self, index: int, octets: bytes, size: int) -> list[bytes]:
        """Send the bytes to both, in pieces of a size; return both responses."""
        if index not in self._clients:
            self._clients[index] = [RawClient(service.port, self._tls) for service in self._services]
        responses = [client.ask(octets, size) for client in self._clients[index]]
        if b"\r\nConnection: close" in responses[0]:
            self._close(index)
        return responses

    def close(self) -> None:
        """Close all connections."""
        for index in tuple(self._clients):
            self._close(index)

    def _close(self, index: int) -> None:
        for client in self._clients.pop(index):
            client.close()


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_service_without_the_fast_path_gives_the_same_bytes(
    redis: RedisServer, tmp_path: Path, tls: bool, workers: str
) -> None:
    certificate = good_pair(tmp_path / "tls")
    env = {"WORKERS": workers, **(certificate.variables if tls else {})}
    token = KEYS.mint_service("desk", ["issue", "revoke", "audit"], 1000, 1, time.time())
    sent = messages(f"Authorization: Bearer {token}\r\n")
    made = Ids(), Ids()
    with (
        two_services(redis, tmp_path, env) as services,
        closing(Pair(services, certificate.trusting if tls else None)) as pair,
    ):
        for whole in (True, False):
            for number, octets in enumerate(sent):
                # Three connections, so that each worker may have some.
                responses = pair.ask(number // 20 % 3, octets, len(octets) if whole else 1)
                ours, theirs = (
                    ids.in_order(comparable(response, workers)) for ids, response in zip(made, responses, strict=True)
                )
                assert ours == theirs, (number, octets, whole)
    ours, theirs = (ids.in_order(access_lines(service)) for ids, service in zip(made, services, strict=True))
    assert sorted(ours) == sorted(theirs)
    assert len(ours) > len(sent)


def comparable(response: bytes, workers: str) -> bytes:
    """A response without times; with two workers, also without what only the worker knows that issued an identity."""
    response = masked(response)
    return re.sub(rb'"cached":(?:true|false)', b"", response) if workers == "2" else response


def access_lines(service: ServiceProcess) -> list[str]:
    """The access lines without their time and duration, sorted: each worker writes its own."""
    lines = [line.partition(" ")[2] for line in service.stderr.splitlines() if "arsenal_fast.access" in line]
    return sorted(re.sub(r"event\.duration=\d+", "", line) for line in lines)
