"""Bounds on what a connection makes the worker hold, and on the waiting time of others."""

import random
from typing import Any

import orjson
import pytest

from arsenal_fast.api.fastpath.recognized import RecognizedRequest
from arsenal_fast.api.gate import GateBounds
from arsenal_fast.http.response import CONTINUE
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server.bounds import Bounds
from arsenal_fast.server.connection import MAX_UNANSWERED
from arsenal_fast.server.flow import NO_ROOM
from arsenal_fast.server.room import READ
from arsenal_fast.server.state import LINGER_S, LOOKS, State
from arsenal_fast.server.turns import OF_ARRIVAL, OF_CONNECTION, OF_TURN
from tests.support.rig import Client, Rig, request

MB = 1_000_000
LIVE = request("GET", "/api/health/live")
METRICS = request("GET", "/api/metrics")
ID = request("GET", "/api/v1/id?prefix=p&run=1")
ORIGINS = ("https://a.example", "https://b.example")
PROXIES = {"trusted_proxies": ["10.0.0.0/8"], "quota": None}
SMALL_ROOM = Bounds(received=4 * MB, received_of_client=2 * MB)
UNLIMITED: dict[str, Any] = {"quota": None}


def swept(rig: Rig, seconds: float) -> None:
    for _ in range(round(seconds * 2)):
        rig.advance(0.5)
        rig.sweep()


def upload(size: int = MB, **headers: str) -> bytes:
    """The head of a validation, of which the body is to come."""
    body = b" " * size
    return request("POST", "/api/v1/validate", body, **headers).removesuffix(body)


def address(number: int) -> tuple[str, int]:
    return (f"198.51.100.{number}", 50_000)


def batch(rows: int, first: int = 0) -> bytes:
    environments = [{"name": "n", "prefix": "p", "run": f"{first}-{row}"} for row in range(rows)]
    return request("POST", "/api/v1/identities", orjson.dumps({"environments": environments}))


# What is received


def test_unfinished_bodies_of_one_client_stop_being_read_at_its_bound_and_all_of_them_finish() -> None:
    rig = Rig(settings=UNLIMITED, bounds=SMALL_ROOM)
    clients = [rig.connect() for _ in range(30)]
    for client in clients:
        client.send(upload())
    rest = dict.fromkeys(clients, MB)
    most = 0
    while rest:
        able = [client for client in rest if client.transport.reading]
        assert able, "one connection can continue"
        for client in able:
            if client.transport.reading:
                piece = min(READ, rest[client])
                rest[client] -= piece
                client.send(b" " * piece)
                most = max(most, rig.listener.room.size_bytes)
                if not rest[client]:
                    assert client.answers("POST")[0].status == 400, "it is no JSON, and was read to its end"
                    del rest[client]
    assert most <= 2 * MB + MB, "the bound, and the body of the oldest"
    assert rig.listener.room.size_bytes == 0


def test_unfinished_bodies_of_all_clients_are_bounded_and_what_finds_no_room_in_time_is_a_503() -> None:
    rig = Rig(settings={**UNLIMITED, "origins": ORIGINS}, bounds=SMALL_ROOM)
    clients = [rig.connect(address(number)) for number in range(30)]
    for client in clients:
        client.send(upload(Origin=ORIGINS[1]) + b" " * 118_000)
    assert rig.listener.room.size_bytes <= 4 * MB
    stopped = [client for client in clients if not client.transport.reading]
    assert stopped
    for client in clients:
        if client.transport.reading:
            client.send(b" " * 118_000)
    assert rig.listener.room.size_bytes <= 4 * MB
    refused = [client for client in clients if client.transport.written]
    assert refused, "they had been read already"
    waiting = [client for client in clients if not client.transport.reading and client not in refused]
    swept(rig, rig.listener.time_limits[State.READING_BODY] + 0.5)
    for client in [*refused, *waiting]:
        (answer,) = client.answers("POST")
        assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
        assert answer.headers["access-control-allow-origin"] == ORIGINS[1]
        assert answer.json["detail"] == NO_ROOM
    assert rig.service.metrics.connections_refused == len(refused) + len(waiting)
    assert rig.listener.room.size_bytes == 0


def test_unfinished_heads_count_too() -> None:
    rig = Rig(bounds=Bounds(received=MB, received_of_client=50_000))
    clients = [rig.connect() for _ in range(10)]
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 10_000)
    assert [client.transport.reading for client in clients] == [True] * 4 + [False] * 6
    for client in clients[:5]:
        client.lose()
    assert [client.transport.reading for client in clients[5:]] == [True] + [False] * 4, "the oldest always reads"
    clients[6].lose()
    assert clients[7].transport.reading


def test_bodies_behind_a_proxy_are_those_of_its_clients() -> None:
    rig = Rig(settings=PROXIES, bounds=Bounds(received=40 * MB, received_of_client=MB))
    clients = [rig.connect(("10.0.0.1", number)) for number in range(20)]
    for number, client in enumerate(clients):
        client.send(upload(X_Forwarded_For=f"203.0.113.{number % 10}") + b" " * 600_000)
    assert [client.transport.reading for client in clients] == [True] * 10 + [False] * 10


def test_a_body_counts_until_its_request_is_answered_and_is_kept_no_longer() -> None:
    rig = Rig(settings=UNLIMITED, switched=True, bounds=Bounds(received=MB, received_of_client=MB))
    rig.shared.holding = rig.shared.admitting = True
    clients = [rig.connect() for _ in range(10)]
    body = batch(3).partition(b"\r\n\r\n")[2] + b" " * 200_000
    for client in clients:
        client.send(request("POST", "/api/v1/identities", body))
    assert rig.listener.room.size_bytes <= MB
    statuses = [client.answers("POST")[0].status for client in clients if client.transport.written]
    assert set(statuses) == {503}, "it was read before it was known that there is no room"
    rig.shared.release_all()
    rig.tick()
    for client in clients:
        for answer in client.answers("POST") if client.transport.written else []:
            assert answer.status == 200
        if client.connection.state is State.IDLE:
            last = client.connection._last
            assert last is None or last.request.body == b""
    assert rig.listener.room.size_bytes == 0


def test_pipelined_requests_that_wait_count() -> None:
    rig = Rig(settings=UNLIMITED, switched=True, bounds=Bounds(received=MB, received_of_client=MB))
    rig.shared.holding = rig.shared.admitting = True
    client = rig.connect()
    client.send(ID * 5000)
    assert rig.listener.room.size_bytes == len(ID) * 5000
    rig.shared.release_all()
    rig.tick()
    assert rig.listener.room.size_bytes == 0
    assert client.take().count(b"HTTP/1.1 200 OK") == 5000


# Answers


def test_answers_that_wait_for_an_earlier_one_keep_further_requests_from_beginning() -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    rig.shared.holding = rig.shared.admitting = True
    client = rig.connect()
    client.send(ID)
    client.send(METRICS * 30)
    assert len(client.connection.outbox) < 30
    assert client.connection._ready < rig.listener.bounds.unsent_of_connection + 60_000
    assert rig.listener.backlog.size_bytes == client.connection._ready
    rig.shared.release_all()
    rig.tick()
    assert len(client.answers(*["GET"] * 31)) == 31
    assert rig.listener.backlog.size_bytes == 0


def test_of_clients_that_do_not_read_the_one_that_has_not_for_the_longest_time_is_cut_off() -> None:
    rig = Rig(bounds=Bounds(unsent=250_000))
    clients = [rig.connect() for _ in range(4)]
    for client in clients:
        client.transport.unsent = 70_000
        client.connection.pause_writing()
        rig.advance(1.0)
    assert [client.transport.aborted for client in clients] == [True, False, False, False]
    assert rig.service.metrics.connections_cut == 1
    for client in clients:
        client.lose()
    assert rig.listener.backlog.size_bytes == 0


@pytest.mark.parametrize(("rate", "cut"), [(0, True), (1, True), (20_000, False)])
def test_a_client_that_reads_steadily_is_not_cut_off_and_a_trickle_is(rate: int, cut: bool) -> None:
    rig = Rig()
    client = rig.connect()
    client.transport.unsent = 2 * MB
    client.connection.pause_writing()
    for _ in range(int(2 * rig.listener.time_limits[State.BACK_PRESSURED])):
        client.transport.unsent -= rate
        swept(rig, 1)
    assert client.transport.aborted is cut


def test_a_last_answer_that_is_read_steadily_is_not_cut_off() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(request("GET", "/api/health/live", Connection="close"))
    client.transport.unsent = 2 * MB
    while client.transport.unsent > 0:
        client.transport.unsent -= 20_000
        swept(rig, 1)
        assert client.transport.aborted is False
    swept(rig, rig.listener.time_limits[State.BACK_PRESSURED] / LOOKS)
    assert client.transport.aborted


def test_who_half_closes_and_never_reads_keeps_no_place() -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    rig.shared.holding = rig.shared.admitting = True
    client = rig.connect()
    client.send(ID)
    client.half_close()
    client.transport.unsent = 1000
    rig.shared.release_all()
    rig.tick()
    assert client.connection.state is State.LINGERING
    swept(rig, LINGER_S + rig.listener.time_limits[State.BACK_PRESSURED])
    assert client.transport.aborted


# Turns of the loop


def test_thousands_of_requests_of_one_packet_do_not_hold_the_loop() -> None:
    rig = Rig()
    greedy, modest = rig.connect(), rig.connect()
    greedy.deliver(LIVE * 5000)
    assert greedy.take().count(b"HTTP/1.1 200 OK") == OF_CONNECTION
    assert not greedy.transport.reading
    modest.deliver(LIVE)
    assert modest.answers("GET")
    turns, answers = 0, OF_CONNECTION
    while rig.soon:
        rig.turn()
        of_turn = greedy.take().count(b"HTTP/1.1 200 OK")
        assert of_turn <= OF_CONNECTION
        turns, answers = turns + 1, answers + of_turn
    assert answers == 5000
    assert greedy.transport.reading
    assert greedy.connection.state is State.IDLE


@pytest.mark.parametrize("path", ["/api/metrics", "/api/telemetry", "/api/openapi.json", "/api/docs", "/favicon.ico"])
def test_of_heavy_answers_each_connection_has_one_a_turn(path: str) -> None:
    rig = Rig()
    clients = [rig.connect() for _ in range(10)]
    for client in clients:
        client.deliver(request("GET", path) * 20)
    answers = [client.take().count(b"HTTP/1.1 200 OK") for client in clients]
    total = sum(answers)
    assert 3 <= total <= 4, "of all that arrive in one turn"
    assert max(answers) == 1
    while rig.soon:
        rig.turn()
        answers = [client.take().count(b"HTTP/1.1 200 OK") for client in clients]
        assert max(answers) <= 1
        assert sum(answers) <= 4, "of all that wait together"
        total += sum(answers)
    assert total == 200


def test_what_thousands_of_connections_send_in_one_turn_does_not_hold_the_loop() -> None:
    rig = Rig(max_connections=5000)
    clients = [rig.connect() for _ in range(1000)]
    for client in clients:
        client.deliver(LIVE * 3)
    turns, done = 1, sum(client.take().count(b"HTTP/1.1 200 OK") for client in clients)
    assert done <= OF_TURN + OF_CONNECTION
    assert rig.listener.room.size_bytes == 0, "it is little"
    while rig.soon:
        rig.turn()
        of_turn = sum(client.take().count(b"HTTP/1.1 200 OK") for client in clients)
        assert of_turn <= OF_TURN + OF_CONNECTION
        turns, done = turns + 1, done + of_turn
    assert done == 3000
    assert turns >= done // (OF_TURN + OF_CONNECTION)
    assert all(client.transport.reading and client.connection.state is State.IDLE for client in clients)


def test_who_sends_one_request_waits_for_no_pipeline() -> None:
    rig = Rig()
    for _ in range(100):
        rig.connect().deliver(LIVE * 1000)
    modest = rig.connect()
    modest.deliver(LIVE)
    assert not modest.octets
    for _ in range(100 * OF_ARRIVAL // (OF_TURN - OF_CONNECTION) + 1):  # of 800 for all
        rig.turn()
    assert modest.answers("GET")[0].status == 200


def test_a_request_that_is_recognized_does_not_overtake_one_that_waits_to_begin() -> None:
    rig = Rig(settings=UNLIMITED)
    client = rig.connect()
    for _ in range(4):
        client.send(ID)
    client.take()
    rig.listener.turns.spend(OF_TURN)
    client.deliver(request("GET", "/api/health/live", X_Other="1"))
    client.deliver(ID)
    rig.tick()
    first, second = client.answers("GET", "GET")
    assert "status" in first.json
    assert "id" in second.json


def test_much_that_waits_to_begin_counts_as_received() -> None:
    rig = Rig()
    rig.listener.turns.spend(OF_TURN)
    client, gone = rig.connect(), rig.connect()
    for each in (client, gone):
        each.deliver(LIVE * 1000)
        assert not each.transport.reading
    assert rig.listener.room.size_bytes >= 2 * len(LIVE) * 1000
    gone.half_close()
    gone.lose()
    rig.tick()
    assert client.take().count(b"HTTP/1.1 200 OK") == 1000
    assert rig.listener.room.size_bytes == 0


def test_a_request_that_waits_to_begin_outlives_any_sweep_and_its_client_s_half_close() -> None:
    rig = Rig()
    rig.listener.turns.spend(OF_TURN)
    client = rig.connect()
    client.deliver(LIVE)
    for _ in range(60):
        rig.advance(0.5)
        rig.sweep()
    client.half_close()
    assert client.take().count(b"HTTP/1.1 200 OK") == 1
    assert client.transport.closed


def test_who_half_closes_behind_thousands_of_requests_gets_every_answer_and_the_end() -> None:
    rig = Rig()
    client = rig.connect()
    client.deliver(LIVE * 500)
    client.half_close()
    assert client.take().count(b"HTTP/1.1 200 OK") == 500
    assert client.transport.closed


def test_a_connection_that_is_lost_while_it_waits_for_its_turn_is_forgotten() -> None:
    rig = Rig()
    client = rig.connect()
    client.deliver(LIVE * 500)
    client.lose()
    rig.tick()
    assert client.take().count(b"HTTP/1.1 200 OK") == OF_CONNECTION
    assert rig.listener.room.size_bytes == 0


# Rows in work


def test_batches_of_one_client_wait_for_their_turn_and_are_all_answered() -> None:
    rig = Rig(settings=UNLIMITED, gate_bounds=GateBounds(rows_of_turn=20, rows_of_client=40))
    client = rig.connect()
    client.deliver(b"".join(batch(20, number) for number in range(10)))
    most = 0
    while rig.soon:
        rig.turn()
        most = max(most, rig.service.gate.rows)
    assert most <= 40
    answers = client.answers(*["POST"] * 10)
    assert [(answer.status, answer.json["total"]) for answer in answers] == [(200, 20)] * 10
    assert [answer.json["identities"][0]["id"][:3] for answer in answers] == [f"p-{number}" for number in range(10)]
    assert rig.service.gate.rows == 0


@pytest.mark.parametrize("path", ["batch", "list"])
def test_rows_stay_in_work_until_the_answer_is_read_and_others_wait(path: str) -> None:
    rig = Rig(settings=UNLIMITED, gate_bounds=GateBounds(rows=50))
    octets = batch(40)
    if path == "list":
        octets = request("POST", "/api/v1/validate", orjson.dumps({"identities": ["x"] * 40}))
    deaf, other = rig.connect(address(1)), rig.connect(address(2))
    deaf.connection.pause_writing()
    deaf.connection.entered = State.RESPONDING
    write = deaf.transport.write

    def full(data: bytes | bytearray | memoryview) -> None:
        write(data)
        deaf.connection.pause_writing()

    deaf.transport.write = full  # type: ignore[method-assign]
    deaf.send(octets)
    assert deaf.take()
    assert rig.service.gate.rows == 40
    other.send(octets)
    assert other.octets == b""
    deaf.connection.resume_writing()
    rig.tick()
    assert other.answers("POST")[0].status == 200
    assert rig.service.gate.rows == 0


def test_a_client_that_is_cut_off_leaves_its_rows_to_others() -> None:
    rig = Rig(settings=UNLIMITED, switched=True, gate_bounds=GateBounds(rows=50))
    rig.shared.holding = rig.shared.admitting = True
    gone, other = rig.connect(address(1)), rig.connect(address(2))
    gone.send(batch(40))
    other.send(batch(40, 1))
    gone.lose()
    assert rig.service.gate.rows == 40, "its work goes on"
    rig.shared.release_all()
    rig.tick()
    rig.shared.release_all()
    rig.tick()
    assert other.answers("POST")[0].status == 200
    assert rig.service.gate.rows == 0


def test_what_waits_too_long_is_a_503_with_retry_after_and_the_connection_lives_on() -> None:
    rig = Rig(settings=UNLIMITED, switched=True, gate_bounds=GateBounds(rows=50, wait_s=10))
    rig.shared.holding = rig.shared.admitting = True
    first, second = rig.connect(address(1)), rig.connect(address(2))
    first.send(batch(40))
    second.send(batch(40, 1))
    swept(rig, 9.5)
    assert second.octets == b""
    swept(rig, 1)
    (answer,) = second.answers("POST")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "connection" not in answer.headers
    second.send(LIVE)
    assert second.answers("GET")[0].status == 200


# 100 (Continue)


def repeated(rig: Rig) -> Client:
    """A client whose next request takes the short way."""
    client = rig.connect()
    for _ in range(4):
        client.send(ID)
    client.take()
    return client


@pytest.mark.parametrize("body_comes", [False, True])
def test_who_waits_behind_a_request_on_the_fast_path_is_told_to_go_on(body_comes: bool) -> None:
    rig = Rig(settings={"quota": Quota(100, 60)}, switched=True)
    client = repeated(rig)
    rig.shared.holding = True
    client.send(ID)
    assert isinstance(client.connection.outbox[0], RecognizedRequest)
    body = batch(1).partition(b"\r\n\r\n")[2]
    client.send(request("POST", "/api/v1/identities", body, Expect="100-continue").removesuffix(body))
    if body_comes:
        client.send(body)
    rig.shared.holding = False
    rig.shared.release_all()
    rig.tick()
    assert client.octets.endswith(CONTINUE) is not body_comes
    if not body_comes:
        client.send(body)
    octets = client.take()
    assert octets.count(CONTINUE) == (not body_comes)
    assert octets.count(b"HTTP/1.1 200 OK") == 2


# CORS


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (upload(2 * MB, Origin=ORIGINS[0]), 413),
        (request("POST", "/api/v1/validate", b"", Origin=ORIGINS[0], Expect="tea"), 417),
        (request("POST", "/", Origin=ORIGINS[0], Transfer_Encoding="gzip, chunked"), 501),
        (request("POST", "/", Origin=ORIGINS[0], Transfer_Encoding="chunked") + b"zz\r\n", 400),
        (request("POST", "/", Origin=ORIGINS[0], Transfer_Encoding="chunked") + b"200000\r\n", 413),
        (request("GET", "/" + "a" * 9000, Origin=ORIGINS[0]), 414),
        (request("GET", "/", Origin=ORIGINS[0], Cookie="a" * 17_000), 431),
        (request("GET", "/", Origin=ORIGINS[0], **{f"X-{number}": "a" for number in range(101)}), 431),
        (request("GET", "/", Origin=ORIGINS[0], Cookie="a\0"), 400),
    ],
)
@pytest.mark.parametrize("piece", [1, 100_000])
def test_a_message_that_is_refused_tells_its_origin_that_it_may_read_why(
    octets: bytes, status: int, piece: int
) -> None:
    if status == 414 and piece == 1:
        pytest.skip("it is refused before its fields come")
    client = Rig(settings={"origins": ORIGINS}).connect()
    for start in range(0, len(octets), piece):
        client.send(octets[start : start + piece])
    (answer,) = client.answers("POST")
    assert (answer.status, answer.headers.get("access-control-allow-origin")) == (status, ORIGINS[0])
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", f"{ORIGINS[0]}\r\nOrigin: {ORIGINS[0]}", ""])
def test_no_other_origin_is_told(origin: str) -> None:
    client = Rig(settings={"origins": ORIGINS}).connect()
    client.send(upload(2 * MB, Origin=origin))
    (answer,) = client.answers("POST")
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_that_does_not_come_in_time_is_a_408_for_its_origin() -> None:
    rig = Rig(settings={"origins": ORIGINS})
    client = rig.connect()
    client.send(upload(Origin=ORIGINS[0]))
    swept(rig, rig.listener.time_limits[State.READING_BODY] + 0.5)
    (answer,) = client.answers("POST")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (408, ORIGINS[0])


# The state


def test_the_state_is_shown() -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    rig.shared.holding = rig.shared.admitting = True
    client = rig.connect()
    seen = [client.connection.state]

    def after(octets: bytes) -> None:
        client.send(octets)
        seen.append(client.connection.state)

    after(b"GET ")
    after(LIVE[4:])
    after(upload(10))
    after(b" " * 9)
    after(b" ")
    after(ID)
    after(ID * MAX_UNANSWERED)
    assert "STALLED" in repr(client.connection)
    client.connection.pause_writing()
    seen.append(client.connection.state)
    client.lose()
    seen.append(client.connection.state)
    assert [state.name for state in seen] == [
        *("NEW", "READING_HEAD", "IDLE", "READING_BODY", "READING_BODY", "IDLE", "RESPONDING"),
        *("STALLED", "BACK_PRESSURED", "CLOSED"),
    ]


# All together


class Reader:
    """Lets a client's transport fill, and reads from it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.received = b""
        self._write = client.transport.write
        client.transport.write = self.write  # type: ignore[method-assign]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._write(data)
        self.client.transport.unsent = sum(map(len, self.client.transport.written))
        if self.client.transport.unsent > 20_000:
            self.client.connection.pause_writing()

    def read(self) -> None:
        self.received += self.client.take()
        if self.client.transport.unsent:
            self.client.transport.unsent = 0
            self.client.connection.resume_writing()


@pytest.mark.parametrize("losing", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_in_whichever_order_every_request_is_answered_and_nothing_is_left_behind(  # noqa: PLR0912
    seed: int, losing: bool
) -> None:
    draw = random.Random(seed)
    rig = Rig(
        settings=UNLIMITED,
        switched=True,
        bounds=Bounds(received=400_000, received_of_client=40_000, unsent=10 * MB, unsent_of_connection=50_000),
        gate_bounds=GateBounds(rows=60, rows_of_client=40, rows_of_turn=30),
    )
    rig.shared.holding = rig.shared.admitting = True
    kinds = [LIVE, METRICS, ID, batch(2), batch(25), request("POST", "/api/v1/validate", b" " * 9000)]
    readers = [Reader(rig.connect(address(number % 3))) for number in range(8)]
    sent = dict.fromkeys(readers, 0)
    waiting = dict.fromkeys(readers, b"")
    for _ in range(400):
        reader = draw.choice(readers)
        if losing and len(readers) > 1 and draw.random() < 0.02:
            readers.remove(reader)
            del waiting[reader]
            reader.client.lose()
            continue
        step = draw.randrange(6)
        if step == 0 and not waiting[reader]:
            count = draw.randrange(1, 60)
            waiting[reader] = b"".join(draw.choice(kinds) for _ in range(count))
            sent[reader] += count
        elif step == 1 and reader.client.transport.reading:
            piece = draw.randrange(1, 20_000)
            octets, waiting[reader] = waiting[reader][:piece], waiting[reader][piece:]
            if octets:
                reader.client.deliver(octets)
        elif step == 2:
            reader.read()
        elif step == 3 and rig.shared.held:
            rig.shared.release(draw.randrange(len(rig.shared.held)))
        elif step == 4:
            rig.turn()
        else:
            rig.advance(0.01)
            rig.sweep()
    while any(waiting.values()) or rig.soon or rig.shared.held or any(reader.client.octets for reader in readers):
        for reader in readers:
            if reader.client.transport.reading:
                reader.client.deliver(waiting[reader][:20_000])
                waiting[reader] = waiting[reader][20_000:]
            reader.read()
        rig.shared.release_all()
        rig.turn()
    for reader in readers:
        assert reader.received.count(b"HTTP/1.1 ") == sent[reader], repr(reader.client.connection)
        assert reader.received.count(b"HTTP/1.1 503") == 0
        assert reader.client.connection.state in (State.IDLE, State.NEW)
        assert reader.client.transport.reading
    assert (rig.listener.room.size_bytes, rig.listener.backlog.size_bytes, rig.service.gate.rows) == (0, 0, 0)
    assert (rig.service.gate._shares, rig.service.gate._waiting, rig.listener.room._waiting) == ({}, 0, {})
