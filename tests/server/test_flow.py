"""What a connection holds, its time-outs, and its end."""

import pytest

from arsenal_fast.http.response import CONTINUE
from arsenal_fast.server.connection import MAX_UNANSWERED
from arsenal_fast.server.flow import MAX_DROPPED
from arsenal_fast.server.state import LINGER_S, State
from tests.support.connections import BODY, HEAD, LIVE, POST, UNLIMITED, expecting, get, held, swept
from tests.support.rig import Rig


@pytest.mark.parametrize(
    "octets", [LIVE, get(1), b"GET / HTTP/1.1\r\nHost: a\r\n", expecting(), expecting() + BODY[:9]]
)
def test_a_client_that_half_closes_with_nothing_asked_is_closed(octets: bytes) -> None:
    client = Rig().connect()
    client.send(octets)
    client.take()
    client.half_close()
    assert client.transport.closed
    assert client.octets == b""


def test_a_client_that_half_closes_gets_its_answers_and_then_the_end() -> None:
    rig, client = held()
    client.send(get(0) + LIVE + get(1))
    client.half_close()
    assert not client.transport.closed
    rig.shared.release(1)
    rig.shared.release(0)
    rig.tick()
    assert [answer.status for answer in client.answers("GET", "GET", "GET")] == [200, 200, 200]
    assert client.transport.closed


def test_a_client_that_half_closes_gets_more_answers_than_are_taken_at_a_time() -> None:
    rig, client = held()
    count = MAX_UNANSWERED * 2
    client.send(get(0) * MAX_UNANSWERED + (LIVE + get(1)) * MAX_UNANSWERED)
    client.half_close()
    rig.shared.release_all()
    rig.tick()
    answers = client.answers(*["GET"] * (count + MAX_UNANSWERED))
    assert {answer.status for answer in answers} == {200}
    assert client.transport.closed


def test_a_client_that_half_closes_behind_a_long_pipeline_of_quick_requests_gets_every_answer() -> None:
    rig, client = held()
    count = 2000
    client.send(get(0) * MAX_UNANSWERED + LIVE * count)
    client.half_close()
    rig.shared.release_all()
    rig.tick()
    assert client.take().count(b"HTTP/1.1 200 OK\r\n") == MAX_UNANSWERED + count
    assert client.transport.closed


def test_over_tls_a_client_that_half_closes_is_closed() -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    rig.shared.holding = rig.shared.admitting = True
    client = rig.connect(can_half_close=False)
    client.send(get(0))
    client.half_close()
    assert client.transport.closed


def test_over_tls_a_connection_ends_without_lingering() -> None:
    client = Rig().connect(can_half_close=False)
    client.send(get(0, Connection="close"))
    assert client.answers("GET")[0].status == 200
    assert client.transport.closed


def test_after_the_last_answer_the_connection_lingers_drops_what_comes_and_goes() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(b"BREW / HTTP/1.1\r\n\r\n")
    assert (client.transport.eof, client.transport.closed) == (True, False)
    client.send(get(1) * 100)
    rig.advance(LINGER_S - 0.25)
    rig.sweep()
    assert not client.transport.closed
    rig.advance(0.25)
    rig.sweep()
    assert client.transport.aborted
    assert len(client.answers("GET")) == 1


def test_what_is_not_read_yet_may_take_longer_to_leave() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(get(1, Connection="close"))
    client.transport.unsent = 1
    rig.advance(LINGER_S + rig.listener.time_limits[State.BACK_PRESSURED] - 0.25)
    rig.sweep()
    assert not client.transport.closed
    rig.advance(0.25)
    rig.sweep()
    assert client.transport.aborted


def test_a_client_that_closes_while_we_linger_is_closed_at_once() -> None:
    client = Rig().connect()
    client.send(get(1, Connection="close"))
    client.half_close()
    assert client.transport.closed


def test_who_never_stops_sending_is_cut_off() -> None:
    client = Rig().connect()
    client.send(get(1, Connection="close"))
    for _ in range(MAX_DROPPED // 65_536):
        client.send(b"x" * 65_536)
    assert not client.transport.closed
    client.send(b"x")
    assert client.transport.aborted


def test_who_does_not_read_is_not_read_from_and_goes_on_later() -> None:
    rig = Rig()
    client = rig.connect()
    client.connection.pause_writing()
    assert not client.transport.reading
    client.send(LIVE + get(1))
    assert client.octets == b"", "what is asked meanwhile waits"
    client.connection.resume_writing()
    rig.tick()
    assert client.transport.reading
    assert len(client.answers("GET", "GET")) == 2
    client.send(LIVE)
    assert len(client.answers("GET")) == 1


def test_who_stops_reading_in_the_middle_of_a_pipeline_gets_the_rest_later() -> None:
    rig, client = held()
    client.send(b"".join(get(run) for run in range(MAX_UNANSWERED + 10)))
    client.connection.pause_writing()
    rig.shared.release_all()
    rig.tick()
    assert len(client.answers(*["GET"] * MAX_UNANSWERED)) == MAX_UNANSWERED
    client.connection.resume_writing()
    rig.tick()
    assert len(client.answers(*["GET"] * 10)) == 10
    assert client.transport.reading


@pytest.mark.parametrize("begun", [b"", b"\r\nGET /", HEAD])
def test_a_head_that_drips_is_given_up_after_its_time_however_often_an_octet_comes(begun: bytes) -> None:
    rig = Rig()
    client = rig.connect()
    client.send(begun + b"x")
    for _ in range(int(rig.listener.time_limits[State.NEW] * 2) - 1):
        swept(rig, 0.5)
        client.send(b"x")
    assert client.octets == b""
    swept(rig, 0.5)
    (answer,) = client.answers("GET")
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert client.transport.eof
    assert rig.service.metrics.connections_timed_out == 1


def test_who_waits_to_be_told_to_go_on_has_all_its_time_from_then_on() -> None:
    rig, client = held()
    client.send(get(0) + expecting())
    swept(rig, 100)
    rig.shared.release_all()
    rig.tick()
    assert client.take().endswith(CONTINUE)
    swept(rig, rig.listener.time_limits[State.READING_BODY] - 1)
    client.send(BODY)
    assert client.answers("POST")[0].status == 200


def test_a_body_has_its_own_longer_time() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(POST[: -len(BODY)])
    for byte in BODY[: int(rig.listener.time_limits[State.READING_BODY]) - 1]:
        swept(rig, 1)
        client.send(bytes((byte,)))
    assert client.octets == b""
    swept(rig, 1)
    assert client.answers("POST")[0].status == 408


def test_each_request_has_its_own_time_also_where_none_ends_with_its_packet() -> None:
    rig = Rig()
    client = rig.connect()
    rest, begun = LIVE[10:], LIVE[:10]
    client.send(begun)
    for _ in range(30):
        swept(rig, 1)
        client.send(rest + begun)
        assert client.answers("GET")[0].status == 200
    swept(rig, rig.listener.time_limits[State.NEW])
    assert client.answers("GET")[0].status == 408


def test_the_time_for_a_body_begins_behind_its_head_also_in_one_packet_with_another_request() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(POST[:-5])
    swept(rig, rig.listener.time_limits[State.READING_BODY] - 1)
    client.send(POST[-5:] + POST[:-5])
    swept(rig, rig.listener.time_limits[State.READING_BODY] - 1)
    assert [answer.status for answer in client.answers("POST")] == [200]
    client.send(POST[-5:])
    assert [answer.status for answer in client.answers("POST")] == [200]


def test_a_connection_that_never_asks_is_closed_without_a_word_after_the_time_for_a_head() -> None:
    rig = Rig()
    client = rig.connect()
    swept(rig, rig.listener.time_limits[State.NEW])
    assert not client.transport.eof
    swept(rig, 1)
    assert (client.octets, client.transport.closed) == (b"", True), "at once: it holds nothing that could get lost"
    swept(rig, 5)
    assert rig.service.metrics.connections_timed_out == 1


@pytest.mark.parametrize("octets", [LIVE, get(1), get(1) * 3, LIVE + b"\r\n"])
def test_a_connection_that_is_kept_alive_is_closed_without_a_word_after_its_time(octets: bytes) -> None:
    rig = Rig()
    client = rig.connect()
    for _ in range(3):
        client.send(octets)
        client.take()
        swept(rig, rig.listener.time_limits[State.IDLE] - 1)
        assert not client.transport.eof
    swept(rig, 2)
    assert (client.octets, client.transport.eof) == (b"", True)
    swept(rig, 5)
    assert rig.service.metrics.connections_timed_out == 1


def test_who_waits_for_an_answer_is_not_idle() -> None:
    rig, client = held()
    client.send(get(0) + HEAD)
    swept(rig, 200)
    assert not client.transport.eof
    rig.shared.release_all()
    swept(rig, 0.5)
    assert len(client.answers("GET")) == 1


def test_who_does_not_read_its_answers_is_cut_off() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(LIVE)
    client.connection.pause_writing()
    swept(rig, rig.listener.time_limits[State.BACK_PRESSURED] - 0.5)
    assert not client.transport.aborted
    swept(rig, 0.5)
    assert client.transport.aborted
    assert rig.service.metrics.connections_timed_out == 1


def test_who_reads_in_time_is_not_cut_off() -> None:
    rig = Rig()
    client = rig.connect()
    for _ in range(5):
        client.send(LIVE)
        client.connection.pause_writing()
        swept(rig, rig.listener.time_limits[State.BACK_PRESSURED] - 0.5)
        client.connection.resume_writing()
    assert not client.transport.closed
