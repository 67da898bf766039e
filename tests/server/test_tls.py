"""TLS with the bounds of plain connections; without I/O, with a clock that the test sets."""

import gc
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from arsenal_fast.server import heap_trim
from arsenal_fast.server.flow import MAX_DROPPED
from arsenal_fast.server.listener import UNFINISHED
from arsenal_fast.server.state import IDLE_GRACE_S, LINGER_S, State
from arsenal_fast.server.tls import SLICE, TlsTransport
from arsenal_fast.server.tls_context import make_context
from arsenal_fast.server.turns import DECRYPTED, HANDSHAKE, HELD, OF_TURN
from tests.support.certificates import Pair, good_pair, make_pair
from tests.support.rig import Rig, request
from tests.support.tls_client import TlsClient

LIVE = request("GET", "/api/health/live")
ID = request("GET", "/api/v1/id?prefix=p&run=1")
LAST = request("GET", "/api/health/live", Connection="close")
LARGE = request("GET", "/api/docs/swagger-ui-bundle.js")


def context_of(pair: Pair) -> ssl.SSLContext:
    config: Any = SimpleNamespace(tls=True, tls_cert_file=str(pair.certificate), tls_key_file=str(pair.key))
    context = make_context(config)
    assert context is not None
    return context


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return good_pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(pair: Pair) -> ssl.SSLContext:
    return context_of(pair)


@pytest.fixture
def trusting(pair: Pair) -> ssl.SSLContext:
    return pair.trusting


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def either(request: pytest.FixtureRequest, pair: Pair) -> ssl.SSLContext:
    """A client of one version."""
    context = pair.trusting
    context.minimum_version = context.maximum_version = request.param
    return context


def resident() -> int:
    """Bytes of this process in memory, after what is free went back."""
    gc.collect()
    malloc_trim = heap_trim.malloc_trim()
    assert malloc_trim is not None
    malloc_trim()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def swept(rig: Rig, seconds: float) -> None:
    """Let time pass with a sweep each half second, as the listener does."""
    for _ in range(round(seconds * 2)):
        rig.advance(0.5)
        rig.sweep()


# Bytes


@pytest.mark.parametrize("piece", [None, 1, 7, 1000])
def test_any_cut_of_the_stream_gives_the_same_answers(
    server: ssl.SSLContext, either: ssl.SSLContext, piece: int | None
) -> None:
    client = TlsClient(Rig(), server, either)
    client.shake_hands(piece)
    client.send(LIVE + ID, piece)
    live, issued = client.answers("GET", "GET")
    assert live.json == {"status": "alive"}
    assert issued.json["metadata"]["run"] == "1"
    client.send(LIVE, piece)
    assert client.answers("GET")[0].status == 200


def test_several_records_of_one_read_are_one_read(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    client = TlsClient(Rig(), server, trusting)
    client.shake_hands()
    octets = client.encrypt(ID, LIVE, ID[:20], ID[20:])
    half_a_record = client.encrypt(LIVE)
    client.deliver(octets + half_a_record[:15])
    assert [answer.status for answer in client.answers("GET", "GET", "GET")] == [200, 200, 200]
    client.deliver(half_a_record[15:])
    assert client.answers("GET")[0].status == 200


def test_the_request_may_come_in_the_packet_that_ends_the_handshake(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    client = TlsClient(Rig(), server, trusting)
    client.deliver(client.hello())
    client.take()
    client.tls.do_handshake()
    client.deliver(client.ciphertext() + client.encrypt(LIVE))
    assert client.answers("GET")[0].status == 200


def test_http_1_1_is_negotiated(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    client = TlsClient(Rig(), server, trusting)
    client.shake_hands()
    assert client.tls.selected_alpn_protocol() == "http/1.1"
    peer = client.transport.get_extra_info("ssl_object")
    assert isinstance(peer, ssl.SSLObject)
    assert client.transport.get_extra_info("peername") == client.socket.get_extra_info("peername")


@pytest.mark.parametrize("octets", [LIVE, b"\0" * 100, b"\x16\x03\x01\x00\x05hello", b"x" * 20_000])
def test_octets_that_are_no_tls_end_the_connection_without_a_word(
    server: ssl.SSLContext, trusting: ssl.SSLContext, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = TlsClient(Rig(), server, trusting)
    client.deliver(octets)
    client.deliver(octets)
    assert client.socket.closed
    assert b"HTTP/" not in client.socket.written
    assert not caplog.records


def test_a_record_that_was_changed_on_its_way_ends_the_session_with_an_alert(
    server: ssl.SSLContext, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    client = TlsClient(Rig(), server, trusting)
    client.shake_hands()
    record = bytearray(client.encrypt(LIVE))
    record[-1] ^= 1
    client.deliver(bytes(record))
    assert client.socket.closed
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        client.read()
    assert not caplog.records


# Bounds


def test_a_connection_is_counted_from_accepting_on(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    rig = Rig()
    client = TlsClient(rig, server, trusting)
    assert (rig.service.metrics.connections_open, rig.service.metrics.connections_accepted) == (1, 1)
    assert client.connection.state is State.NEW
    client.transport.connection_lost(None)
    assert rig.service.metrics.connections_open == 0


@pytest.mark.parametrize("drip", [False, True])
def test_a_handshake_has_the_time_for_a_head(server: ssl.SSLContext, trusting: ssl.SSLContext, drip: bool) -> None:
    rig = Rig()
    client = TlsClient(rig, server, trusting)
    hello = client.hello()
    for second in range(int(rig.listener.time_limits[State.NEW])):
        if drip:
            client.deliver(hello[second : second + 1])
        swept(rig, 1)
    assert not client.socket.closed
    swept(rig, 1)
    assert client.socket.closed, "at once"
    swept(rig, 5)
    assert rig.service.metrics.connections_timed_out == 1


HELLO_TOO_LONG = [
    b"\x16\x03\x01\x00\x04\x01\x01\xff\xff",  # a message that claims 128 KiB
    b"\x16\x03\x01\x40\x01\x01\x00\x3f\xfd",  # a record that is too long
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x02\x03",  # a message in two records
    b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",  # another message
    b"\x15\x03\x01\x00\x02\x01\x00",  # an alert
]


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize("octets", HELLO_TOO_LONG)
def test_a_session_begins_only_with_a_whole_first_message_of_a_usual_size(
    server: ssl.SSLContext, trusting: ssl.SSLContext, octets: bytes, piece: int | None
) -> None:
    client = TlsClient(Rig(), server, trusting)
    client.deliver(octets, piece)
    assert client.socket.closed
    assert client.transport.get_extra_info("ssl_object") is None


def test_an_unfinished_first_message_takes_no_session(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    client = TlsClient(Rig(), server, trusting)
    hello = client.hello()
    client.deliver(hello[:-1], 100)
    assert client.transport.get_extra_info("ssl_object") is None
    client.deliver(hello[-1:])
    client.take()
    client.shake_hands()
    client.send(LIVE)
    assert client.answers("GET")[0].status == 200


def test_of_many_handshakes_few_are_made_in_one_turn_of_the_loop(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    rig = Rig()
    clients = [TlsClient(rig, server, trusting) for _ in range(40)]
    gone = clients[30]
    for client in clients:
        client.transport.data_received(client.hello())
    of_turn = OF_TURN // HANDSHAKE
    answered = sum(bool(client.socket.written) for client in clients)
    assert answered == of_turn
    assert [client.socket.reading for client in clients] == [True] * of_turn + [False] * (40 - of_turn)
    gone.transport.connection_lost(None)
    while rig.soon:
        rig.turn()
        before, answered = answered, sum(bool(client.socket.written) for client in clients)
        assert answered - before <= of_turn
    assert answered == 39
    for client in clients:
        if client is not gone:
            client.take()
            client.shake_hands()
            client.send(LIVE)
            assert client.answers("GET")[0].status == 200


def test_of_handshakes_that_stop_half_way_the_oldest_are_cut_off(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    rig = Rig(max_connections=40)
    done = TlsClient(rig, server, trusting)
    done.shake_hands()
    clients = [TlsClient(rig, server, trusting) for _ in range(40 // UNFINISHED + 3)]
    for client in clients:
        client.deliver(client.hello())
        assert client.socket.written
    assert [client.socket.aborted for client in clients] == [True] * 3 + [False] * (40 // UNFINISHED)
    assert rig.service.metrics.connections_shed == 3
    for client in clients[:3]:
        client.transport.connection_lost(None)
    for client in clients[3:]:
        client.take()
        client.shake_hands()
    TlsClient(rig, server, trusting).shake_hands()
    done.send(LIVE)
    assert done.answers("GET")[0].status == 200
    assert not any(client.socket.closed for client in clients[3:])


def test_much_to_decrypt_waits_for_its_turn_within_a_bound(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    rig = Rig(settings={"quota": None}, max_connections=5000)
    size = 200_000
    clients = [TlsClient(rig, server, trusting) for _ in range(HELD // size + 3)]
    for client in clients:
        client.shake_hands()
        client.tls.write(request("POST", "/api/v1/validate", b" " * size))
    rig.listener.turns.spend(OF_TURN)
    for client in clients:
        client.transport.data_received(client.ciphertext())
    reading = [client.socket.reading for client in clients]
    assert reading[:-3] == [False] * (len(clients) - 3), "they are held"
    assert all(client.connection._parser.idle for client in clients[:-3])
    held = clients[:-3]
    held.pop().transport.connection_lost(None)
    last = held.pop()
    assert last.transport.eof_received(), "it gets its answer"
    rig.turn()
    begun = [client for client in held if client.socket.reading]
    assert 0 < len(begun) <= OF_TURN // (size >> DECRYPTED) + 1
    rig.tick()
    for client in [*held, last]:
        assert client.answers("POST")[0].status == 400, "it is no JSON"
    assert last.ended
    assert rig.listener.turns._held == 0


def test_a_handshake_waits_for_its_turn_whatever_others_hold(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    rig = Rig(max_connections=5000)
    size = 17_000
    large = [TlsClient(rig, server, trusting) for _ in range(HELD // size + 1)]
    for client in large:
        client.shake_hands()
        client.tls.write(request("POST", "/api/v1/validate", b" " * size))
    clients = [TlsClient(rig, server, trusting) for _ in range(100)]
    rig.listener.turns.spend(OF_TURN)
    for client in large:
        client.transport.data_received(client.ciphertext())
    assert not large[-1].connection._parser.idle, "there was no more room to hold it"
    for client in clients:
        client.transport.data_received(client.hello())
    assert not any(client.socket.written for client in clients)
    for _ in range(len(large) + len(clients)):
        rig.turn()
    for client in clients:
        client.take()
        client.shake_hands()
    assert rig.listener.turns._held == 0


def test_what_is_held_waits_for_a_connection_that_reads_no_further(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    rig = Rig()
    client = TlsClient(rig, server, trusting)
    client.shake_hands()
    client.tls.write(LIVE * 1000)
    first = client.ciphertext()
    rig.listener.turns.spend(OF_TURN)
    client.transport.data_received(first)
    assert not client.socket.reading
    client.transport.resume_reading()
    assert not client.socket.reading, "its turn comes first"
    client.transport.pause_reading()
    client.deliver(b"")
    assert len(client.answers(*["GET"] * 1000)) == 1000
    assert client.socket.reading, "once it has gone on"


def test_what_passed_through_a_session_is_not_what_it_keeps(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    clients = [TlsClient(Rig(), server, trusting) for _ in range(60)]
    body = b" " * 250_000
    upload = request("POST", "/api/v1/validate", body)
    for client in clients:
        client.shake_hands()
        client.send(LIVE)
        client.answers("GET")
    before = resident()
    for client in clients:
        client.send(upload)
        client.send(LARGE)
        client.take()
        client.socket.written.clear()
        client.tls = client._incoming = client._outgoing = None  # type: ignore[assignment]
    assert (resident() - before) / len(clients) < 64 * 1024


def test_one_connection_too_many_is_told_so_after_its_handshake(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    rig = Rig(max_connections=0)
    client = TlsClient(rig, server, trusting)
    client.shake_hands()
    (answer,) = client.answers("GET")
    assert (answer.status, answer.headers["retry-after"], client.ended) == (503, "1", True)
    assert client.socket.eof


def test_one_connection_too_many_that_never_shakes_hands_is_gone_after_a_moment(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    rig = Rig(max_connections=0)
    client = TlsClient(rig, server, trusting)
    swept(rig, LINGER_S)
    assert client.socket.closed


def test_a_connection_that_is_kept_alive_is_closed_after_its_time(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    rig = Rig()
    client = TlsClient(rig, server, trusting)
    client.shake_hands()
    client.send(LIVE)
    assert client.answers("GET")
    swept(rig, rig.listener.time_limits[State.IDLE])
    assert not client.socket.eof
    swept(rig, 1)
    client.read()
    assert (client.ended, client.socket.eof) == (True, True)
    assert rig.service.metrics.connections_timed_out == 1


def test_who_never_answers_close_notify_keeps_no_place(server: ssl.SSLContext, either: ssl.SSLContext) -> None:
    rig = Rig()
    client = TlsClient(rig, server, either)
    client.shake_hands()
    client.send(LAST)
    assert client.answers("GET")[0].headers["connection"] == "close"
    assert (client.ended, client.socket.eof, client.socket.closed) == (True, True, False)
    swept(rig, LINGER_S)
    assert client.socket.aborted


def test_what_comes_behind_the_last_answer_is_dropped_and_bounded(
    server: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    client = TlsClient(Rig(), server, trusting)
    client.shake_hands()
    client.send(LAST)
    record = client.encrypt(b"x" * 16_384)
    for _ in range(MAX_DROPPED // len(record)):
        client.deliver(record)
    assert not client.socket.closed
    client.deliver(record)
    assert client.socket.aborted


@pytest.mark.parametrize("begun", ["nothing", "half a hello", "handshake", "request"])
def test_the_end_waits_for_no_client_that_asks_nothing(
    server: ssl.SSLContext, trusting: ssl.SSLContext, begun: str
) -> None:
    rig = Rig()
    client = TlsClient(rig, server, trusting)
    if begun == "half a hello":
        client.deliver(client.hello()[:50])
    elif begun != "nothing":
        client.shake_hands()
    if begun == "request":
        client.send(LIVE)
    rig.drain(stopped=True)
    swept(rig, IDLE_GRACE_S + 1 + LINGER_S)
    assert client.socket.closed


# Clients that half-close


@pytest.mark.parametrize("how", ["close_notify", "FIN", "both"])
def test_a_client_that_half_closes_gets_its_answers_and_then_the_end(
    server: ssl.SSLContext, either: ssl.SSLContext, how: str
) -> None:
    rig = Rig(settings={"quota": None}, switched=True)
    rig.shared.holding = rig.shared.admitting = True
    client = TlsClient(rig, server, either)
    client.shake_hands()
    client.send(ID + LIVE)
    if how != "FIN":
        client.say_close()
    if how != "close_notify":
        client.half_close()
    assert not client.socket.closed
    rig.shared.release_all()
    rig.tick()
    octets = b"".join(client.socket.written)
    assert len(octets) > 900, "both answers"
    assert client.socket.closed
    if how == "FIN":  # OpenSSL gives a client that has sent close_notify nothing more to read
        assert [answer.status for answer in client.answers("GET", "GET")] == [200, 200]


@pytest.mark.parametrize("asked", [b"", LIVE, LIVE[:9]])
def test_a_client_that_half_closes_with_nothing_asked_is_closed(
    server: ssl.SSLContext, either: ssl.SSLContext, asked: bytes
) -> None:
    client = TlsClient(Rig(), server, either)
    client.shake_hands()
    if asked:
        client.send(asked)
    client.say_close()
    assert client.socket.closed


# Back-pressure


def test_what_a_client_does_not_read_waits_unencrypted_and_the_whole_of_it_comes(
    server: ssl.SSLContext, either: ssl.SSLContext
) -> None:
    rig = Rig()
    client = TlsClient(rig, server, either, capacity=100_000)
    client.shake_hands()
    client.take()
    client.send(LARGE + LIVE)
    assert client.connection.state is State.BACK_PRESSURED
    assert sum(map(len, client.socket.written)) < 100_000 + 2 * SLICE
    assert client.transport.get_write_buffer_size() > 1_000_000
    assert not client.socket.reading
    large, live = client.answers("GET", "GET")
    assert (len(large.body) > 1_000_000, live.json) == (True, {"status": "alive"})
    assert client.connection.state.name == "IDLE"
    assert client.socket.reading


def test_who_reads_nothing_is_cut_off(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    rig = Rig()
    client = TlsClient(rig, server, trusting, capacity=100_000)
    client.shake_hands()
    client.take()
    client.send(LARGE)
    swept(rig, rig.listener.time_limits[State.BACK_PRESSURED] - 0.5)
    assert not client.socket.aborted
    swept(rig, 0.5)
    assert client.socket.aborted
    assert rig.service.metrics.connections_timed_out == 1


def test_a_large_last_answer_leaves_before_the_end_is_said(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    client = TlsClient(Rig(), server, trusting, capacity=100_000)
    client.shake_hands()
    client.take()
    client.send(LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert not client.socket.eof
    (answer,) = client.answers("GET")
    assert len(answer.body) > 1_000_000
    assert (client.ended, client.socket.eof) == (True, True)


# What it leaves behind


def test_a_session_that_is_gone_is_freed_at_once(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    def sessions() -> int:
        return sum(type(thing) is TlsTransport for thing in gc.get_objects())

    gc.collect()
    before = sessions()
    gc.disable()
    try:
        client = TlsClient(Rig(), server, trusting)
        client.shake_hands()
        client.send(LIVE)
        client.transport.connection_lost(None)
        client.socket.tls = None
        del client
        assert sessions() == before
    finally:
        gc.enable()


# Cryptography


@pytest.mark.parametrize(
    ("kind", "suite", "good"),
    [
        ("ec", "ECDHE-ECDSA-AES128-GCM-SHA256", True),
        ("ec", "ECDHE-ECDSA-CHACHA20-POLY1305", True),
        ("rsa", "ECDHE-RSA-AES256-GCM-SHA384", True),
        ("ec", "ECDHE-ECDSA-AES128-SHA256", False),
        ("rsa", "ECDHE-RSA-AES128-SHA", False),
        ("rsa", "AES128-GCM-SHA256", False),
        ("rsa", "AES256-SHA256", False),
        ("rsa", "DHE-RSA-AES128-GCM-SHA256", False),
    ],
)
def test_of_tls_1_2_only_forward_secret_authenticated_suites_are_spoken(
    tmp_path: Path, kind: str, suite: str, good: bool
) -> None:
    now = good_pair(tmp_path)  # for its dates
    pair = now if kind == "ec" else rsa_pair(tmp_path)
    trusting = pair.trusting
    trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    trusting.set_ciphers(f"{suite}:@SECLEVEL=0")
    client = TlsClient(Rig(), context_of(pair), trusting)
    if good:
        client.shake_hands()
        assert client.tls.cipher() is not None
        client.send(LIVE)
        assert client.answers("GET")[0].status == 200
    else:
        with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure"):
            client.shake_hands()
        assert client.socket.closed


def rsa_pair(directory: Path) -> Pair:
    start = datetime.now(UTC) - timedelta(days=1)
    return make_pair(directory, start, start + timedelta(days=90), kind="rsa")


def test_renegotiation_and_old_versions_are_off(server: ssl.SSLContext) -> None:
    assert server.options & ssl.OP_NO_RENEGOTIATION
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2
