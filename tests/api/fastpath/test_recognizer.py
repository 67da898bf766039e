"""A request like the last one of its connection is recognised; any other is parsed, with the same response."""

import pytest

from arsenal_fast.api.fastpath.recognizer import SMALL_BLOCK
from tests.support.rig import KEYS, START, Client, Rig, request

TARGET = "/api/v1/id?prefix=player&run=1"
GET = request("GET", TARGET)
PROXY = {"trusted_proxies": ("203.0.113.0/24",)}


def count_of(rig: Rig, *octets: bytes, client: Client | None = None) -> int:
    """How many of the packets are recognised on one connection; all are answered with 200."""
    found = rig.recognized()
    client = client or rig.connect()
    for each in octets:
        client.send(each)
        (answer,) = client.answers("GET")
        assert answer.status == 200
    return len(found)


def test_the_first_request_is_parsed_and_those_like_it_are_recognised() -> None:
    assert count_of(Rig(), GET, GET, GET) == 2


def test_another_run_is_recognised_though_it_has_to_be_issued() -> None:
    assert count_of(Rig(), GET, GET.replace(b"run=1", b"run=2"), GET) == 2


def test_requests_of_two_kinds_are_recognised_in_any_order() -> None:
    other = request("GET", TARGET, User_Agent="x")
    assert count_of(Rig(), GET, other, other, GET, GET, other) == 4, "all but the first of each kind"


def test_a_connection_keeps_one_long_field_block_at_most() -> None:
    short, long = request("GET", TARGET, User_Agent="x"), request("GET", TARGET, Cookie="x" * SMALL_BLOCK)
    assert count_of(Rig(), short, long, short, long, short, long) == 2, "the short ones after the first"


def test_of_more_kinds_those_of_the_last_two_requests_are_recognised() -> None:
    first, second, third = (request("GET", TARGET, User_Agent=f"agent {number}") for number in range(3))
    assert count_of(Rig(), first, second, third, second, third, first) == 2


def test_kinds_of_two_callers_are_charged_to_each_of_them() -> None:
    rig = Rig(settings={"access_log": "all"})
    tokens = [KEYS.mint_service(name, ["issue"], 1000, 1, START) for name in ("one", "two")]
    one, two = (request("GET", TARGET, Authorization=f"Bearer {token}") for token in tokens)
    assert count_of(rig, one, two, one, two) == 2
    assert [key for _, key, _ in rig.access] == ["sub:one", "sub:two"] * 2


def test_a_worker_that_drains_parses_every_kind() -> None:
    rig = Rig()
    found = rig.recognized()
    client = rig.connect()
    other = request("GET", TARGET, User_Agent="x")
    for each in (GET, other, GET):
        client.send(each)
    client.connection.drain()
    client.send(other)
    assert len(client.answers(*["GET"] * 4)) == 4
    assert len(found) == 1


@pytest.mark.parametrize("cut", [1, 20, len(GET) - 1])
def test_a_request_in_pieces_is_parsed(cut: int) -> None:
    rig = Rig()
    found = rig.recognized()
    client = rig.connect()
    client.send(GET)
    client.send(GET[:cut])
    client.send(GET[cut:])
    assert [answer.status for answer in client.answers("GET", "GET")] == [200, 200]
    assert found == []


def test_two_requests_of_one_packet_are_answered_in_their_order() -> None:
    rig = Rig()
    client = rig.connect()
    client.send(GET)
    client.send(GET + GET.replace(b"run=1", b"run=2"))
    answers = client.answers("GET", "GET", "GET")
    assert [answer.json["metadata"]["run"] for answer in answers] == ["1", "1", "2"]


def test_a_line_that_no_cached_response_answers_goes_to_its_handler() -> None:
    rig = Rig()
    found = rig.recognized()
    client = rig.connect()
    client.send(GET)
    client.send(request("GET", "/api/v1/nothing"))
    client.send(request("GET", "/api/v1/limits"))
    client.send(b"GET /% HTTP/1.1\r\nHost: identity\r\n\r\n")
    assert [answer.status for answer in client.answers(*["GET"] * 4)] == [200, 404, 200, 400]
    assert found == []


def test_a_verdict_is_recognised_by_its_body_where_its_identity_is_remembered() -> None:
    rig = Rig(worthwhile=1)
    identity = rig.get(TARGET).json["id"]
    validate = request(
        "POST", "/api/v1/validate", b'{"identity":"%b"}' % identity.encode(), Content_Type="application/json"
    )
    assert count_of(rig, *[validate] * 4) == 3, "all but the first, which makes the template"


def test_behind_a_proxy_each_request_is_charged_to_its_own_client() -> None:
    rig = Rig(settings={**PROXY, "access_log": "all"}, worthwhile=1)
    found = rig.recognized()
    client = rig.connect()
    addresses = ["198.51.100.1", "198.51.100.2", "198.51.100.1"]
    for address in addresses:
        client.send(request("GET", TARGET, X_Forwarded_For=address))
    assert [key for _, key, _ in rig.access] == addresses
    assert len(found) == 2


def test_a_peer_that_is_no_proxy_names_nobody() -> None:
    rig = Rig(settings={"access_log": "all"}, worthwhile=1)
    client = rig.connect()
    for address in ("198.51.100.1", "198.51.100.2"):
        client.send(request("GET", TARGET, X_Forwarded_For=address))
    assert {key for _, key, _ in rig.access} == {"203.0.113.9"}


def test_a_request_id_is_echoed_to_the_request_that_sent_it() -> None:
    rig = Rig(worthwhile=1)
    client = rig.connect()
    for request_id in ("a", "b", "c"):
        client.send(request("GET", TARGET, X_Request_Id=request_id))
    assert [answer.headers["x-request-id"] for answer in client.answers(*["GET"] * 3)] == ["a", "b", "c"]


def test_an_identity_that_requires_a_scope_is_not_given_to_a_client_without_it() -> None:
    rig = Rig(settings={"protected_prefixes": frozenset({"player"})})
    bearer = "Bearer " + KEYS.mint_service("s", ["issue"], 1000, 1, START)
    holder, other = rig.connect(), rig.connect()
    for _ in range(4):
        holder.send(request("GET", TARGET, Authorization=bearer))
        other.send(request("GET", TARGET))
    assert {answer.status for answer in holder.answers(*["GET"] * 4)} == {200}
    assert not {answer.status for answer in other.answers(*["GET"] * 4)} & {200}
