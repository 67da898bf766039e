"""Session tickets: a worker resumes the session of another, and keys of an hour ago open nothing."""

import socket
import ssl
from itertools import repeat
from pathlib import Path

import pytest

from arsenal_fast.server.ticket_keys import RENEW_S, TicketKeys
from tests.support.certificates import Pair, good_pair
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess

REQUEST = b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def server(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def connected(client: ssl.SSLContext, server: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLObject:
    """Connect in memory, and read what the server sends after the handshake: in TLS 1.3 its tickets."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    theirs.write(b"1")
    assert ours.read() == b"1"
    return ours


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> ssl.SSLContext:
    context = good_pair(tmp_path).trusting
    context.maximum_version = request.param
    return context


@pytest.fixture
def pair(client: ssl.SSLContext, tmp_path: Path) -> Pair:
    return Pair(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_a_context_with_the_same_keys_resumes_the_session_of_another(client: ssl.SSLContext, pair: Pair) -> None:
    keys = TicketKeys(Clock())
    one, other, stranger = server(pair), server(pair), server(pair)
    assert keys.set_in(one)
    assert keys.set_in(other)
    session = connected(client, one, None).session
    assert connected(client, other, session).session_reused
    assert not connected(client, stranger, session).session_reused


def test_keys_are_renewed_after_an_hour_and_then_the_old_tickets_are_worth_nothing(
    client: ssl.SSLContext, pair: Pair
) -> None:
    clock = Clock()
    keys, context = TicketKeys(clock), server(pair)
    keys.set_in(context)
    session = connected(client, context, None).session
    for later, resumed in ((RENEW_S - 1, True), (1, False)):
        clock.now += later
        keys.renew_if_due()
        keys.set_in(context)
        assert connected(client, context, session).session_reused is resumed
    session = connected(client, context, None).session
    keys.renew_if_due()
    keys.set_in(context)
    assert connected(client, context, session).session_reused


@pytest.mark.integration
def test_a_session_is_resumed_by_each_of_two_workers(client: ssl.SSLContext, pair: Pair, redis: RedisServer) -> None:
    """Which worker gets a connection is chance: with keys of its own each would refuse half of the tickets."""
    with ServiceProcess(WORKERS="2", REDIS_URL=redis.url, **pair.variables) as service:
        session: ssl.SSLSession | None = None
        resumed = []
        for _ in repeat(None, 25):
            plain = socket.create_connection(("127.0.0.1", service.port), 5)
            with client.wrap_socket(plain, server_hostname="localhost", session=session) as connection:
                connection.sendall(REQUEST)
                assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
                resumed.append(connection.session_reused)
                session = connection.session
    assert resumed == [False, *repeat(True, 24)]
