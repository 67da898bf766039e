"""No request leaves a reference cycle over real sockets, a real Redis and a real ledger.

The clients' side makes cycles of its own (asyncio's streams, h11), so only what is made of this package counts here:
its objects, functions and frames. ``tests/api/test_no_cycles.py`` sends every kind of request, without sockets.
"""

import asyncio
import gc
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

import arsenal_fast
from arsenal_fast.api.compose import compose
from arsenal_fast.api.services import Services
from arsenal_fast.api.settings import Settings
from arsenal_fast.http.limits import Limits
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server.listener import Listener
from arsenal_fast.server.state import time_limits
from arsenal_fast.stores.memory import MemoryBackend
from arsenal_fast.stores.redis.backend import RedisBackend
from tests.support.certificates import Pair, good_pair
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.rig import KEYS, request

pytestmark = pytest.mark.integration

SOURCE = str(Path(arsenal_fast.__file__).parent)
ROUNDS = 5

IDENTITIES = [
    "malformed",
    "x" * 400,
    "player-1@sports.api.yourbook.com/v1:id",
    "player-9@sports.api.yourbook.com/v1:id",
]
REQUESTS = [
    request("GET", "/api/v1/id?prefix=player&run=1"),
    request("GET", "/api/v1/id"),
    request("GET", "/api/v1/limits") * 8,
    request("GET", "/api/metrics"),
    request("GET", "/api/telemetry", Authorization="Bearer nonsense"),
    request("GET", "/api/v1/id?run=1", Authorization="Bearer nonsense"),
    request("GET", "/api/v1/audit", Authorization="Bearer nonsense"),
    request("POST", "/api/v1/validate", json.dumps({"identities": IDENTITIES}).encode()),
    request("POST", "/api/v1/validate", b'{"identity":"a","identity":"b"}'),
    request("POST", "/api/v1/validate", b"{"),
    request("POST", "/api/v1/identities", b'{"environments":[{"name":"a","prefix":"a-b","run":"."}]}'),
    request(
        "POST", "/api/v1/identities", b'{"environments":[{"name":"a","prefix":"bot"},{"name":"b","prefix":"bot"}]}'
    ),
    request("POST", "/api/v1/revoke", b'{"identity":"player-1@sports.api.yourbook.com/v1:id"}'),
    b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"BREW / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n",
]


def is_ours(each: object) -> bool:
    if type(each).__module__.startswith("arsenal_fast"):
        return True
    code = getattr(each, "__code__", None) or getattr(each, "f_code", None) or getattr(each, "cr_code", None)
    return code is not None and code.co_filename.startswith(SOURCE)


@contextmanager
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = Counter(type(each).__qualname__ for each in gc.garbage if is_ours(each))
        assert not left, left.most_common(8)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@asynccontextmanager
async def serving(url: str, ledger_url: str, tls: ssl.SSLContext | None) -> AsyncIterator[tuple[Listener, int]]:
    spare = MemoryBackend(lambda: time.monotonic_ns() // 1000, lambda: time.time_ns() // 1_000_000)
    backend, ledger = RedisBackend(url, jitter=lambda: 0.5), Ledger(ledger_url)
    settings = Settings(
        version="v0", domain="sports.api.yourbook.com", base_url="http://localhost:3655", quota=Quota(100_000, 3600)
    )
    call_soon = asyncio.get_running_loop().call_soon
    services = Services(
        settings=settings,
        backend=backend,
        local=spare,
        keys=KEYS,
        ledger=ledger,
        call_soon=call_soon,
        monotonic=time.monotonic,
        now=time.time,
    )
    app = compose(services, Limits())
    listener = Listener(app, limits=Limits(), time_limits=time_limits(), max_connections=1000)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    await backend.start()
    await ledger.start()
    await listener.start([listening], tls)
    app.services.ready = True
    try:
        yield listener, listening.getsockname()[1]
    finally:
        await listener.stop(asyncio.get_running_loop().time() + 5)
        await ledger.close()
        await backend.close()


async def send_all(port: int, tls: ssl.SSLContext | None) -> None:
    for octets in REQUESTS:
        name = None if tls is None else "localhost"
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
        writer.write(octets)
        await reader.read(1)
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("with_tls", [False, True])
def test_no_cycle_is_left_over_real_sockets_and_stores(
    redis: RedisServer, sqlite_url: str, tmp_path: Path, with_tls: bool
) -> None:
    pair: Pair | None = good_pair(tmp_path) if with_tls else None
    here = there = None
    if pair is not None:
        here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        here.load_cert_chain(pair.certificate, pair.key)
        there = pair.trusting

    async def scenario() -> None:
        async with serving(redis.url, sqlite_url, here) as (listener, port):
            await send_all(port, there)  # imports and caches come with the first
            await until(lambda: not listener._connections)
            with collector_off():
                for _ in range(ROUNDS):
                    await send_all(port, there)
                await until(lambda: not listener._connections)

    run(scenario(), deadline=30)
