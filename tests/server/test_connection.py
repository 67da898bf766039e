"""A connection: the order of responses, reading, closing, and its errors."""

import gc

import pytest

from arsenal_fast.api.fastpath.recognized import RecognizedRequest
from arsenal_fast.http.response import CONTINUE
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server.connection import MAX_UNANSWERED, Connection
from arsenal_fast.server.state import IDLE_GRACE_S
from tests.support.connections import BODY, HEAD, LIVE, POST, expecting, get, held, swept
from tests.support.made_ids import Ids
from tests.support.rig import Answer, Rig, request


def runs(answers: list[Answer]) -> list[str]:
    return [answer.json["metadata"]["run"] for answer in answers]


# The order


@pytest.mark.parametrize("order", [(0, 0, 0, 0), (3, 2, 1, 0), (1, 2, 0, 0), (2, 0, 1, 0)])
def test_answers_leave_in_the_order_of_the_requests_whichever_is_ready_first(order: tuple[int, ...]) -> None:
    rig, client = held()
    client.send(b"".join(get(run) for run in range(4)))
    for index in order:
        assert client.connection.outbox, "not all are answered yet"
        rig.shared.release(index)
    assert runs(client.answers(*["GET"] * 4)) == ["0", "1", "2", "3"]


def test_an_answer_that_is_ready_waits_for_the_ones_before_it_and_no_longer() -> None:
    rig, client = held()
    client.send(get(0) + LIVE + get(1) + LIVE)
    assert client.octets == b""
    rig.shared.release(1)
    assert client.octets == b""
    rig.shared.release(0)
    first, live, second, alive = client.answers(*["GET"] * 4)
    assert runs([first, second]) == ["0", "1"]
    assert live.json == alive.json == {"status": "alive"}


def test_answers_of_several_connections_never_cross() -> None:
    rig, _ = held()
    clients = [rig.connect() for _ in range(5)]
    for turn in range(3):
        for number, client in enumerate(clients):
            client.send(get(f"{number}-{turn}"))
    for index in (14, 3, 7, 0, 10, 5, 2, 7, 1, 0, 2, 1, 0, 1, 0):
        rig.shared.release(index)
    for number, client in enumerate(clients):
        assert runs(client.answers(*["GET"] * 3)) == [f"{number}-{turn}" for turn in range(3)]


BAD = [
    b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET  / HTTP/1.1\r\n",
    b"\0",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
]


@pytest.mark.parametrize("bad", BAD)
def test_good_requests_before_a_bad_one_are_answered_first_and_nothing_behind_it_is(bad: bytes) -> None:
    rig, client = held()
    client.send(get(0) + LIVE + bad + get(1))
    assert client.octets == b""
    rig.shared.release_all()
    first, live, refused = client.answers("GET", "GET", "GET")
    assert (runs([first]), live.status) == (["0"], 200)
    assert refused.status in {400, 501}
    assert refused.headers["connection"] == "close"
    assert refused.headers["content-type"] == "application/problem+json"
    assert client.transport.eof
    client.send(get(2))
    assert client.octets == b""
    assert len(rig.shared.issues) == 1


# Any cut of the stream

STREAM = (
    b"\r\n"
    + get(1, X_Request_Id="7")
    + POST
    + get(1, "HEAD")
    + b"POST /api/v1/identities HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x;a=b\r\n%b\r\n0\r\nTrailer: 1\r\n\r\n" % (len(BODY), BODY)
    + get(1, X_Request_Id="7")
    + get("")
    + request("OPTIONS", "*")
)

METHODS = ("GET", "POST", "HEAD", "POST", "GET", "GET", "OPTIONS")

LAST = [b"", get(2, Connection="close"), b"BREW / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: x\r\n\r\n"]


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 1000, 100_000])
def test_the_answers_do_not_depend_on_the_cuts_of_the_stream(last: bytes, piece: int) -> None:
    stream = STREAM + last
    whole, pieces = Rig().connect(), Rig().connect()
    whole.send(stream)
    for start in range(0, len(stream), piece):
        pieces.send(stream[start : start + piece])
    assert Ids().in_order(pieces.octets) == Ids().in_order(whole.octets)
    assert pieces.transport.eof is bool(last)
    methods = METHODS if last == b"" else (*METHODS, "GET")
    assert [answer.status for answer in whole.answers(*methods)][:7] == [200, 200, 200, 200, 200, 400, 204]


@pytest.mark.parametrize("cut", range(0, len(STREAM), 11))
def test_a_stream_cut_in_two_is_answered_as_a_whole_one(cut: int) -> None:
    whole, parts = Rig().connect(), Rig().connect()
    whole.send(STREAM)
    parts.send(STREAM[:cut])
    parts.send(STREAM[cut:])
    assert Ids().in_order(parts.octets) == Ids().in_order(whole.octets)


def test_who_waits_with_the_body_is_told_to_go_on_once() -> None:
    client = Rig().connect()
    client.send(expecting())
    assert client.take() == CONTINUE
    for byte in BODY[:-1]:
        client.send(bytes((byte,)))
    assert client.octets == b""
    client.send(BODY[-1:])
    assert client.answers("POST")[0].status == 200


def test_who_waits_is_told_after_all_earlier_answers() -> None:
    rig, client = held()
    client.send(get(0) + get(1) + expecting())
    assert client.octets == b""
    rig.shared.release()
    assert CONTINUE not in client.octets
    rig.shared.release()
    octets = client.take()
    assert octets.endswith(CONTINUE)
    rig.shared.release_all()
    client.send(BODY)
    assert octets.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert client.answers("POST")[0].status == 200


def test_who_does_not_wait_after_all_is_never_told() -> None:
    rig, client = held()
    client.send(get(0) + expecting())
    client.send(BODY)
    rig.shared.release_all()
    rig.tick()
    client.send(b"GET /api/health/live HTTP/1.1\r\n")
    client.send(b"Host: a\r\n\r\n")
    assert CONTINUE not in client.octets
    assert [answer.status for answer in client.answers("GET", "POST", "GET")] == [200, 200, 200]


NOT_TOLD = [
    expecting(minor=0),
    expecting() + BODY[:1],
    request("GET", "/api/v1/id?run=1", Expect="100-continue"),
    request("POST", "/api/v1/identities", b"", Expect="100-continue"),
]


@pytest.mark.parametrize("octets", NOT_TOLD)
def test_who_has_begun_has_no_body_or_speaks_http_1_0_is_not_told(octets: bytes) -> None:
    client = Rig().connect()
    client.send(octets)
    assert CONTINUE not in client.octets


def test_a_body_that_is_too_long_gets_the_final_answer_at_once() -> None:
    client = Rig().connect()
    client.send(expecting(b"x" * 1_048_577))
    (answer,) = client.answers("POST")
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert client.transport.eof


def test_an_unknown_expectation_is_a_417() -> None:
    client = Rig().connect()
    client.send(request("POST", "/api/v1/identities", BODY, Expect="200-ok"))
    assert client.answers("POST")[0].status == 417


# Whether the connection stays open

# (request, the Connection line of the answer, whether it is the last one)
ENDINGS = [
    (get(1), None, False),
    (get(1, Connection="keep-alive"), None, False),
    (get(1, Connection="close"), "close", True),
    (get(1, Connection="CLOSE"), "close", True),
    (get(1, Connection="foo, close , bar"), "close", True),
    (get(1, Connection="foo\r\nConnection: close"), "close", True),
    (get(1, Connection="closed"), None, False),
    (b"GET /api/v1/id?run=1 HTTP/1.0\r\n\r\n", "close", True),
    (b"GET /api/v1/id?run=1 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "keep-alive", False),
    (b"GET /api/v1/id?run=1 HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "close", True),
    (get(1).replace(b"HTTP/1.1", b"HTTP/1.9"), None, False),
]


@pytest.mark.parametrize(("octets", "connection", "last"), ENDINGS)
def test_a_connection_ends_when_its_client_or_its_version_says_so(
    octets: bytes, connection: str | None, last: bool
) -> None:
    client = Rig().connect()
    client.send(octets * 2)
    methods = ["GET"] if last else ["GET", "GET"]
    for answer in client.answers(*methods):
        assert answer.status == 200
        assert answer.headers.get("connection") == connection
    assert client.transport.eof is last
    client.send(octets)
    assert bool(client.octets) is not last


def test_behind_a_request_that_closes_nothing_is_processed() -> None:
    rig, client = held()
    client.send(get(0, Connection="close") + get(1))
    client.send(get(2) + b"\0\0\0")
    rig.shared.release_all()
    assert runs(client.answers("GET")) == ["0"]
    assert len(rig.shared.issues) == 1
    assert rig.service.metrics.answered == 1


# Back-pressure


def test_as_many_requests_are_taken_as_may_be_unanswered_and_the_others_later() -> None:
    rig, client = held()
    count = MAX_UNANSWERED * 2 + 5
    client.send(b"".join(get(run) for run in range(count)))
    assert len(rig.shared.held) == MAX_UNANSWERED
    assert not client.transport.reading
    rig.shared.release()
    rig.tick()
    assert len(rig.shared.held) == MAX_UNANSWERED
    assert not client.transport.reading
    rig.shared.release_all()
    rig.tick()
    assert client.transport.reading
    assert runs(client.answers(*["GET"] * count)) == [str(run) for run in range(count)]


@pytest.mark.parametrize("behind", [b"", b"GET /api/health/live HTTP/1.1\r\nHost: a\r\n", b"\r\n", b"BREW"])
def test_whatever_waits_behind_a_full_outbox_is_read_on_when_there_is_room(behind: bytes) -> None:
    rig, client = held()
    client.send(get(0) * MAX_UNANSWERED + LIVE * 40 + behind)
    rig.shared.release_all()
    rig.tick()
    client.answers(*["GET"] * (MAX_UNANSWERED + 40))
    assert client.transport.reading
    client.send(b"\r\n" + LIVE)
    assert client.octets


# Clients that are gone, transports that fail


def test_an_answer_for_a_client_that_is_gone_is_dropped() -> None:
    rig, client = held()
    other = rig.connect()
    client.send(get(0) + get(1))
    other.send(get(2))
    client.lose()
    rig.shared.release_all()
    rig.tick()
    assert client.octets == b""
    assert runs(other.answers("GET")) == ["2"]
    assert rig.service.metrics.connections_open == 1


def test_a_client_that_is_gone_while_its_admission_is_decided_keeps_nothing_from_the_others() -> None:
    rig = Rig()
    clients = [rig.connect() for _ in range(3)]
    for client in clients:
        client.deliver(get(1) * 2)
    clients[1].lose()
    rig.tick()
    assert [len(client.octets) > 0 for client in clients] == [True, False, True]


FAILING = [get(1), get(1) * 3, LIVE, b"BREW / HTTP/1.1\r\n\r\n", get(1, Connection="close"), expecting()]


@pytest.mark.parametrize("octets", FAILING)
def test_a_transport_that_has_just_failed_disturbs_nobody(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    failing, other = rig.connect(), rig.connect()
    failing.transport.broken = True
    failing.deliver(octets)
    other.deliver(get(2))
    rig.tick()
    assert runs(other.answers("GET")) == ["2"]
    failing.lose()
    assert not caplog.records


@pytest.mark.parametrize("octets", [b"", HEAD, LIVE])
def test_a_transport_that_has_just_failed_does_not_end_the_sweep(octets: bytes) -> None:
    rig = Rig()
    failing = rig.connect()
    if octets:
        failing.send(octets)
    failing.transport.broken = True
    swept(rig, 80)
    assert failing.connection in rig.listener._connections, "no event has reported its end"


# Draining


def test_a_draining_server_answers_all_that_was_taken_and_says_close_on_the_last() -> None:
    rig, client = held()
    client.send(get(0) + get(1) + get(2))
    rig.drain()
    rig.shared.release(2)
    rig.shared.release_all()
    rig.tick()
    answers = client.answers("GET", "GET", "GET")
    assert runs(answers) == ["0", "1", "2"]
    assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]
    assert client.transport.eof


@pytest.mark.parametrize("octets", [LIVE, get(1)])
def test_a_draining_server_answers_every_request_of_a_packet(octets: bytes) -> None:
    rig = Rig()
    client = rig.connect()
    client.send(octets)
    client.take()
    rig.drain()
    client.send(octets * 5)
    answers = client.answers(*["GET"] * 5)
    assert [answer.headers.get("connection") for answer in answers] == [None, None, None, None, "close"]
    assert client.transport.eof


def test_a_draining_server_waits_for_the_request_that_has_begun_to_come() -> None:
    rig = Rig()
    client = rig.connect()
    rig.drain()
    client.send(LIVE + LIVE[:20])
    assert "connection" not in client.answers("GET")[0].headers
    client.send(LIVE[20:])
    assert client.answers("GET")[0].headers["connection"] == "close"
    assert client.transport.eof


def test_a_draining_server_takes_no_request_behind_the_answer_that_said_close() -> None:
    rig = Rig()
    client = rig.connect()
    rig.drain()
    client.send(LIVE)
    client.send(LIVE)
    assert [answer.headers["connection"] for answer in client.answers("GET")] == ["close"]


def test_an_idle_connection_is_closed_soon_once_nothing_new_is_accepted() -> None:
    rig = Rig()
    client, fresh = rig.connect(), rig.connect()
    client.send(get(1) * 2)
    client.take()
    swept(rig, 5)
    rig.drain()
    swept(rig, 3)
    assert not client.transport.eof, "listening goes on, and so may the client"
    rig.listener.stopped = True
    swept(rig, IDLE_GRACE_S + 0.5)
    assert client.transport.eof
    assert fresh.transport.closed
    assert rig.service.metrics.connections_timed_out == 0, "it is the service that ends"


def test_a_request_on_the_fast_path_when_draining_begins_is_answered_with_close() -> None:
    rig = Rig(settings={"quota": Quota(100, 60)}, switched=True)
    client = rig.connect()
    for _ in range(4):  # its answer is kept by now
        client.send(get(1))
    client.take()
    rig.shared.holding = True
    client.send(get(1))
    assert isinstance(client.connection.outbox[0], RecognizedRequest)
    rig.drain(stopped=True)
    rig.shared.release_all()
    (answer,) = client.answers("GET")
    assert runs([answer]) == ["1"]
    assert answer.headers["connection"] == "close"
    assert client.transport.eof


# What it leaves behind


def test_a_connection_that_is_gone_is_freed_at_once_and_not_by_the_collector_of_cycles() -> None:
    def connections() -> int:
        return sum(type(thing) is Connection for thing in gc.get_objects())

    gc.collect()
    before = connections()
    gc.disable()
    try:
        rig = Rig()
        for run in range(3):
            client = rig.connect()
            client.get(f"/api/v1/id?prefix=p&run={run}")
            client.get(f"/api/v1/id?prefix=p&run={run}")
            client.lose()
        del client
        assert connections() == before
    finally:
        gc.enable()


def test_a_connection_that_may_write_again_before_its_first_request_is_swept_like_any_other() -> None:
    rig = Rig()
    client = rig.connect()
    client.connection.pause_writing()
    client.connection.resume_writing()
    rig.sweep()
    assert client.get("/api/health/live").status == 200
