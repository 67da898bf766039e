"""``GET /api/v1/limits``: exact and not charged."""

from typing import Any

import pytest

from arsenal_fast.api.admission import MAX_BATCH, OnFailure
from arsenal_fast.ratelimit.quota import Quota
from tests.support.rig import Answer, Rig, request

PATH = "/api/v1/limits"


def told(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = answer.json
    return body


def test_a_fresh_client_has_its_whole_quota_however_often_it_looks() -> None:
    rig = Rig()
    for _ in range(200):
        answer = rig.get(PATH)
        assert told(answer) == {
            "client": "203.0.113.9",
            "policy": "default",
            "limit": 100,
            "window": 3600,
            "remaining": 100,
            "reset": 0,
        }
        assert answer.headers["ratelimit"] == '"default";r=100;t=0'
        assert answer.headers["ratelimit-policy"] == '"default";q=100;w=3600'


def test_what_remains_is_what_the_last_answer_said() -> None:
    rig = Rig()
    for _ in range(3):
        used = rig.get("/api/v1/id?run=1")
    looked = rig.get(PATH)
    names = [name for name in used.headers if "ratelimit" in name]
    assert len(names) == 5
    assert {name: looked.headers[name] for name in names} == {name: used.headers[name] for name in names}
    assert (told(looked)["remaining"], told(looked)["reset"]) == (97, 108)
    rig.advance(36)
    assert (told(rig.get(PATH))["remaining"], told(rig.get(PATH))["reset"]) == (98, 72)


def test_a_look_behind_other_requests_of_the_same_packet_counts_them() -> None:
    client = Rig().connect()
    client.send(request("GET", "/api/v1/id?run=1") * 2 + request("GET", PATH) + request("GET", "/api/v1/id?run=1"))
    remaining = [answer.headers["x-ratelimit-remaining"] for answer in client.answers(*["GET"] * 4)]
    assert remaining == ["99", "98", "97", "97"]


def test_looks_and_hits_of_one_tick_are_one_command() -> None:
    """60 pipelined looks and 60 hits: as many rows as there are clients, and no command of a look's own."""
    rig = Rig(switched=True)
    clients = [rig.connect((f"198.51.100.{host}", 1)) for host in (1, 2, 3, 4)]
    looking = rig.connect(("198.51.100.9", 1))
    for client in clients:
        client.deliver((request("GET", PATH) + request("GET", "/api/v1/id?run=1")) * 15)
    looking.deliver(request("GET", PATH))
    rig.tick()
    rows = [(f"198.51.100.{host}", 15) for host in (1, 2, 3, 4)]
    assert rig.shared.admissions == [[*rows, ("198.51.100.9", 0)]]
    assert rig.service.metrics.limiter_batches == 1
    for client in clients:
        answers = client.answers(*["GET"] * 30)
        assert [answer.json["remaining"] for answer in answers[::2]] == [85] * 15, "behind the hits of the tick"
    assert told(looking.answers("GET")[0])["remaining"] == 100


def test_looks_alone_are_one_command_too() -> None:
    rig = Rig(switched=True)
    client = rig.connect()
    client.send(request("GET", PATH) * 32)
    assert [answer.json["remaining"] for answer in client.answers(*["GET"] * 32)] == [100] * 32
    assert rig.shared.admissions == [[("203.0.113.9", 0)]]


def test_more_looking_clients_than_a_batch_has_rows_are_all_answered() -> None:
    rig = Rig(switched=True)
    clients = [rig.connect((f"198.51.{host // 256}.{host % 256}", 1)) for host in range(MAX_BATCH + 2)]
    rig.listener.turns.left = 2 * MAX_BATCH  # recognised requests have no bound in a turn
    for client in clients:
        client.deliver(request("GET", PATH))
    rig.tick()
    assert [len(rows) for rows in rig.shared.admissions] == [MAX_BATCH, 2]
    assert {client.answers("GET")[0].status for client in clients} == {200}


@pytest.mark.parametrize("mode", OnFailure)
def test_with_the_store_away_a_look_in_a_batch_with_hits_is_answered(mode: OnFailure) -> None:
    rig = Rig(settings={"on_store_failure": mode}, switched=True)
    rig.shared.away = True
    client = rig.connect()
    client.send(request("GET", "/api/v1/id?run=1") + request("GET", PATH))
    hit, look = client.answers("GET", "GET")
    assert hit.status == (503 if mode is OnFailure.CLOSED else 200)
    assert told(look)["remaining"] == (99 if mode is OnFailure.LOCAL else 100)


def test_who_has_used_everything_may_still_look() -> None:
    rig = Rig(settings={"quota": Quota(1, 60)})
    assert [rig.get("/api/v1/id?run=1").status for _ in range(2)] == [200, 429]
    rig.advance(20)
    assert (told(rig.get(PATH))["remaining"], told(rig.get(PATH))["reset"]) == (0, 40)


def test_the_client_is_the_one_behind_the_proxy() -> None:
    rig = Rig(settings={"trusted_proxies": ["203.0.113.0/24"]})
    assert told(rig.get(PATH, X_Forwarded_For="2001:db8::7"))["client"] == "2001:db8::/64"


def test_with_the_store_away_the_worker_tells_its_own_count() -> None:
    rig = Rig(switched=True)
    rig.get("/api/v1/id?run=1")
    rig.shared.away = True
    assert told(rig.get(PATH))["remaining"] == 100
    rig.get("/api/v1/id?run=1")
    assert told(rig.get(PATH))["remaining"] == 99


def test_without_a_limit_there_is_nothing_to_tell() -> None:
    answer = Rig(settings={"quota": None}).get(PATH)
    body = told(answer)
    assert (body["policy"], body["limit"], body["window"], body["remaining"]) == (None, None, None, None)
    assert "x-ratelimit-limit" not in answer.headers
