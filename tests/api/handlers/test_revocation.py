"""``POST /api/v1/revoke``: permissions, and that a revoked life is never returned as active."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.api.handlers.revocation import moment
from arsenal_fast.identity.revocation import Revoked
from arsenal_fast.identity.validity import Life
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.tokens.claims import Refusal
from tests.support.ledgers import SwitchedLedger
from tests.support.replicas import Replicas
from tests.support.rig import KEYS, START, Answer, Client, Rig, request
from tests.support.tokens import hs256_keys

PATH = "/api/v1/revoke"
VALIDATE = "/api/v1/validate"
TARGET = "/api/v1/id?prefix=player&run=1"
ID = "player-1@sports.api.yourbook.com/v1:id"
OTHER = ID.replace("player", "other")
UNLIMITED = {"quota": None}
NOW = round(START * 1000)


def revoke(rig: Rig, **body: str) -> Answer:
    """With a service token of scope ``revoke``."""
    return rig.post(PATH, body, Authorization=rig.bearer("revoke"))


def status(rig: Rig, identity: str = ID, **more: str) -> str:
    answer = rig.post(VALIDATE, {"identity": identity, **more})
    assert answer.status == 200
    return str(answer.json["status"])


def stamp(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


# Callers, what they may revoke, and the responses.


@pytest.mark.parametrize("by", ["its own token", "a service token", "both"])
def test_an_identity_is_ended_by_its_own_token_or_by_the_scope(by: str) -> None:
    rig = Rig()
    first = rig.get(TARGET).json
    rig.advance(5)
    body = {"identity": ID} if by == "a service token" else {"identity": ID, "token": first["token"]}
    headers = {} if by == "its own token" else {"Authorization": rig.bearer("revoke")}
    answer = rig.post(PATH, body, **headers)
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {
        "identity": ID,
        "status": "revoked",
        "already": False,
        "generated": first["generated"],
        "revoked": stamp(NOW + 5000),
    }
    verdict = rig.post(VALIDATE, {"identity": ID}).json
    assert (verdict["valid"], verdict["status"], verdict["generated"]) == (False, "revoked", first["generated"])
    assert rig.service.metrics.identity_revoked == 1


def test_the_case_of_the_domain_makes_no_difference() -> None:
    rig = Rig()
    rig.get(TARGET)
    answer = revoke(rig, identity=ID.replace("sports", "SPORTS"))
    assert (answer.status, answer.json["identity"]) == (200, ID)
    assert status(rig) == "revoked"


def test_a_second_time_changes_nothing_and_says_so() -> None:
    rig = Rig(settings=UNLIMITED)
    token = rig.get(TARGET).json["token"]
    first = revoke(rig, identity=ID)
    rig.advance(5)
    for again in (revoke(rig, identity=ID), rig.post(PATH, {"identity": ID, "token": token})):
        assert again.status == 200
        assert again.json == {**first.json, "already": True}
    assert rig.service.metrics.identity_revoked == 1


def test_an_identity_that_has_expired_can_still_be_ended() -> None:
    rig = Rig()
    rig.get(f"{TARGET}&ttl=10")
    rig.advance(20)
    assert revoke(rig, identity=ID).json["already"] is False
    assert status(rig) == "revoked"


def test_what_nobody_knows_can_not_be_ended() -> None:
    rig = Rig()
    answer = revoke(rig, identity=ID)
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert rig.service.metrics.identity_revoked == 0
    assert rig.get(TARGET).status == 200
    assert status(rig) == "active"


def test_who_holds_the_token_of_an_identity_that_nobody_remembers_may_still_end_it() -> None:
    rig = Rig(switched=True)
    token = rig.get(TARGET).json["token"]
    rig.shared.memory = rig.memory()
    rig.service.identities.invalidate(None)
    assert rig.post(PATH, {"identity": ID, "token": token}).status == 200
    assert [status(rig), status(rig, token=token)] == ["revoked", "revoked"]


SHAPES: list[tuple[object, list[str]]] = [
    ({}, [""]),
    ({"token": "a"}, [""]),
    ({"prefix": "player"}, [""]),
    ({"identity": ID, "prefix": "player"}, [""]),
    ({"identity": ID, "issued_before": "2025-11-22T10:00:00Z"}, [""]),
    ({"identity": ID, "token": "a", "prefix": "player", "issued_before": "2025-11-22T10:00:00Z"}, [""]),
    ({"token": "a", "issued_before": "2025-11-22T10:00:00Z"}, [""]),
    ({"identity": None}, ["/identity"]),
    ({"identity": ID, "token": 1}, ["/token"]),
    ({"prefix": [], "issued_before": 0}, ["/prefix", "/issued_before"]),
    ({"identity": "player-1"}, ["/identity"]),
    ({"identity": ""}, ["/identity"]),
    ({"identity": f"{ID}\n"}, ["/identity"]),
    ({"identities": [ID]}, ["/identities"]),
    ({"prefix": "", "issued_before": "2025-11-22T10:00:00Z"}, ["/prefix"]),
    ({"prefix": "a-b", "issued_before": "yesterday"}, ["/issued_before", "/prefix"]),
]


@pytest.mark.parametrize(("body", "pointers"), SHAPES)
def test_a_body_that_does_not_say_what_to_revoke_is_a_400_that_names_the_place(
    body: object, pointers: list[str]
) -> None:
    rig = Rig()
    answer = rig.post(PATH, body, Authorization=rig.bearer("revoke"))
    assert answer.status == 400
    assert [fault["pointer"] for fault in answer.json["errors"]] == pointers


def foreign(generated: int = NOW, ttl: int = 3600) -> str:
    return hs256_keys(issuer=KEYS.issuer).sign_identity(ID, Life(generated, generated + ttl * 1000))


def own(identity: str = ID, generated: int = NOW, ttl: int = 3600) -> str:
    return KEYS.sign_identity(identity, Life(generated, generated + ttl * 1000))


BAD_TOKENS = [
    ("", Refusal.MALFORMED.sentence),
    ("nonsense", Refusal.MALFORMED.sentence),
    (own()[:-43] + own(OTHER)[-43:], Refusal.SIGNATURE.sentence),
    (foreign(), Refusal.SIGNATURE.sentence),
    (own(generated=NOW - 3_600_000), Refusal.EXPIRED.sentence),
    (own(generated=NOW + 120_000), Refusal.FUTURE.sentence),
    (KEYS.mint_service("bot", ["revoke"], 10, 1, START), Refusal.AUDIENCE.sentence),
    (own(OTHER), "is the token of another identity"),
]


@pytest.mark.parametrize(("token", "sentence"), BAD_TOKENS)
def test_a_token_that_is_not_the_identitys_ends_nothing(token: str, sentence: str) -> None:
    rig = Rig()
    rig.get(TARGET)
    answer = rig.post(PATH, {"identity": ID, "token": token})
    assert answer.status == 403
    assert answer.json["errors"] == [{"pointer": "/token", "detail": sentence}]
    assert status(rig) == "active"
    assert rig.service.metrics.identity_revoked == 0


def test_a_token_of_an_earlier_life_that_was_renewed_may_end_the_identity() -> None:
    rig = Rig()
    token = rig.get(f"{TARGET}&ttl=60").json["token"]
    rig.advance(50)
    rig.get(f"{TARGET}&ttl=60")
    assert rig.post(PATH, {"identity": ID, "token": token}).status == 200
    assert status(rig) == "revoked"


@pytest.mark.parametrize("epoch", [False, True])
def test_a_token_of_a_life_that_was_ended_can_not_end_the_next_one(epoch: bool) -> None:
    rig = Rig(settings=UNLIMITED)
    token = rig.get(TARGET).json["token"]
    rig.advance(1)
    revoke(rig, **({"issued_before": stamp(NOW + 1000)} if epoch else {"identity": ID}))
    rig.advance(1)
    rig.get(TARGET)
    answer = rig.post(PATH, {"identity": ID, "token": token})
    assert (answer.status, answer.json["already"]) == (200, True)
    assert answer.json["generated"] == stamp(NOW), "its own life, which is over"
    assert status(rig) == "active"
    assert rig.service.metrics.identity_revoked == 1


# Epochs.


def test_a_prefix_is_ended_as_far_as_it_was_issued_before_a_moment() -> None:
    rig = Rig(settings=UNLIMITED)
    rig.get(TARGET)
    rig.get("/api/v1/id?prefix=other&run=1")
    rig.advance(1)
    rig.get(f"{TARGET}1")
    rig.advance(1)
    answer = revoke(rig, prefix="player", issued_before="2025-11-22T10:00:01Z")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {"prefix": "player", "status": "revoked", "issued_before": "2025-11-22T10:00:01.000Z"}
    assert [status(rig, each) for each in (ID, ID.replace("-1", "-11"), OTHER)] == ["revoked", "active", "active"]
    assert rig.service.metrics.identity_revoked == 1


def test_everything_is_ended_as_far_as_it_was_issued_before_a_moment() -> None:
    rig = Rig(settings=UNLIMITED)
    rig.get(TARGET)
    rig.get("/api/v1/id?prefix=other&run=1")
    rig.advance(1)
    rig.get(f"{TARGET}1")
    answer = revoke(rig, issued_before="2025-11-22T11:00:00.999+01:00")
    assert answer.json == {"prefix": None, "status": "revoked", "issued_before": "2025-11-22T10:00:00.999Z"}
    assert [status(rig, each) for each in (ID, ID.replace("-1", "-11"), OTHER)] == ["revoked", "active", "revoked"]


def test_an_epoch_never_falls() -> None:
    rig = Rig(settings=UNLIMITED)
    rig.get(TARGET)
    rig.advance(5)
    later, earlier = stamp(NOW + 4000), stamp(NOW + 1)
    assert [revoke(rig, issued_before=each).json["issued_before"] for each in (later, earlier)] == [later, later]


def test_the_prefix_is_meant_in_the_case_in_which_it_is_written() -> None:
    rig = Rig(settings=UNLIMITED)
    for prefix in ("player", "Player"):
        rig.get(f"/api/v1/id?prefix={prefix}&run=1")
    rig.advance(1)
    revoke(rig, prefix="Player", issued_before=stamp(NOW + 1000))
    assert [status(rig), status(rig, ID.replace("player", "Player"))] == ["active", "revoked"]


MOMENTS = [
    ("2025-11-22T10:00:00Z", NOW),
    ("2025-11-22t10:00:00z", NOW),
    ("2025-11-22T10:00:00.1Z", NOW + 100),
    ("2025-11-22T10:00:00.12Z", NOW + 120),
    ("2025-11-22T10:00:00.123Z", NOW + 123),
    ("2025-11-22T10:00:00.123999Z", NOW + 123),
    ("2025-11-22T10:00:00.1239999Z", NOW + 123),
    ("2025-11-22T10:00:00.000999999Z", NOW),
    ("2025-11-22T10:00:00.1234567890Z", NOW + 123),
    (f"2025-11-22T10:00:00.{'9' * 100}Z", NOW + 999),
    ("2025-11-22T10:00:00+00:00", NOW),
    ("2025-11-22t20:29:00.5+10:29", NOW + 500),
    ("2025-11-23T09:59:00+23:59", NOW),
    ("2025-11-21T10:01:00-23:59", NOW),
    # The leap seconds of RFC 3339 section 5.8, and one with a fraction.
    ("1990-12-31T23:59:60Z", 662_688_000_000),
    ("1990-12-31T15:59:60-08:00", 662_688_000_000),
    ("2016-12-31T23:59:60.25Z", 1_483_228_800_250),
    ("1937-01-01T12:00:27.87+00:20", -1_041_337_172_130),
    ("2025-11-22T11:00:00.123456789+01:00", NOW + 123),
    ("2025-11-22T11:30:00+01:30", NOW),
    ("2025-11-22T00:00:00-10:00", NOW),
    ("2025-11-22T10:00:00-00:00", NOW),
    ("1970-01-01T00:00:00Z", 0),
    ("1970-01-01T00:00:00.001Z", 1),
    ("1969-12-31T23:59:59.999Z", -1),
    ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
]


@pytest.mark.parametrize(("text", "ms"), MOMENTS)
def test_a_moment_is_an_rfc_3339_date_time(text: str, ms: int) -> None:
    assert moment(text) == ms


@given(st.integers(0, 253_402_300_799_999))
def test_every_millisecond_is_read_as_it_was_written(ms: int) -> None:
    assert moment(stamp(ms)) == ms


NO_MOMENTS = [
    *("", "now", "0", "1763805600", "2025-11-22", "2025-11-22T10:00:00", "2025-11-22 10:00:00Z", "20251122T100000Z"),
    *("2025-11-22T10:00Z", "2025-11-22T10:00:00.Z", "2025-11-22T10:00:00,5Z"),
    *("2025-12-31T22:59:60Z", "2025-12-30T23:59:60Z", "2025-12-31T23:59:60-01:00", "2025-12-31T23:59:61Z"),
    *("9999-12-31T23:59:60Z", "2025-11-22T10:60:00Z", "2025-11-22T10:00:00+01:60", "2025-11-22T10:00:00-24:00"),
    *("2025-11-22T10:00:00+0100", "2025-11-22T10:00:00+01", "2025-11-22T10:00:00+24:00", "2025-11-22T10:00:00Zz"),
    *("2025-13-22T10:00:00Z", "2025-02-29T10:00:00Z", "2025-11-22T24:00:00Z", "2025-11-22T23:59:60Z"),
    *("2025-11-22T10:00:00Z\n", " 2025-11-22T10:00:00Z", "2025-W47-6T10:00:00Z", "0000-01-01T00:00:00Z"),
    *("२०२५-11-22T10:00:00Z", "+2025-11-22T10:00:00Z", "2025-11-22T10:00:00\u212a", "12025-11-22T10:00:00Z"),
]


@pytest.mark.parametrize("text", NO_MOMENTS)
def test_what_is_no_moment_is_a_400_of_one_sentence(text: str) -> None:
    answer = revoke(Rig(), issued_before=text)
    assert answer.status == 400
    sentence = "must be an RFC 3339 date-time such as 2026-11-22T10:00:00.000Z"
    assert answer.json["errors"] == [{"pointer": "/issued_before", "detail": sentence}]


# Moments around now, and whether everything issued before them may be ended.
RANGE = [
    ("1970-01-01T00:00:00Z", False),
    ("1969-12-31T23:59:59Z", False),
    ("0001-01-01T00:00:00Z", False),
    ("1970-01-01T00:00:00.001Z", True),
    (stamp(NOW), True),
    (stamp(NOW + 1), True),
    (stamp(NOW + 2), False),
    (stamp(NOW + 3_600_000), False),
    ("9999-12-31T23:59:59.999Z", False),
]


@pytest.mark.parametrize(("text", "taken"), RANGE)
def test_the_future_can_not_be_ended(text: str, taken: bool) -> None:
    rig = Rig()
    answer = revoke(rig, issued_before=text)
    if taken:
        assert answer.status == 200
    else:
        assert answer.status == 400
        detail = "must be a moment from 1970 until now"
        assert answer.json["errors"] == [{"pointer": "/issued_before", "detail": detail}]
    rig.get(TARGET)
    assert status(rig) == "active", "what begins from now on lives"


# The store, and the ledger.

BODIES = [{"identity": ID}, {"prefix": "player", "issued_before": stamp(NOW)}, {"issued_before": stamp(NOW)}]


@pytest.mark.parametrize("body", BODIES)
def test_with_the_store_away_nothing_is_done_and_the_caller_knows(body: dict[str, str]) -> None:
    ledger = SwitchedLedger()
    rig = Rig(switched=True, ledger=ledger)
    rig.get(TARGET)
    rig.advance(1)
    rig.shared.away = True
    answer = revoke(rig, **body)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json["detail"] == "The shared state is away, so nothing was revoked; try again."
    rig.shared.come_back()
    assert status(rig) == "active"
    assert ledger.revoked == []
    assert rig.service.metrics.identity_revoked == 0


@pytest.mark.parametrize("body", BODIES)
def test_a_revocation_is_in_force_at_once_and_answered_when_it_is_written_down(body: dict[str, str]) -> None:
    ledger = SwitchedLedger()
    rig = Rig(settings=UNLIMITED, switched=True, ledger=ledger)
    rig.get(TARGET)
    rig.advance(1)
    body = {**body, "issued_before": stamp(NOW + 1000)} if "issued_before" in body else body
    ledger.holding = True
    client = rig.connect()
    content = orjson.dumps(body)
    headers = {"Authorization": rig.bearer("revoke"), "X-Request-Id": "r-7", "Content-Type": "application/json"}
    client.send(request("POST", PATH, content, **headers))
    assert client.octets == b""
    assert status(rig) == "revoked"
    ledger.release_all()
    assert client.answers("POST")[0].status == 200
    (row,) = ledger.revoked
    assert (row.caller, row.request_id, row.at, row.prefix) == (
        "sub:sports-book",
        "r-7",
        NOW + 1000,
        None if body.keys() == {"issued_before"} else "player",
    )
    assert row.issued_before == NOW + (1001 if "identity" in body else 1000)


@pytest.mark.parametrize("body", BODIES)
def test_a_ledger_that_is_away_does_not_keep_anybody_from_revoking(body: dict[str, str]) -> None:
    ledger = SwitchedLedger()
    rig = Rig(settings=UNLIMITED, ledger=ledger)
    rig.get(TARGET)
    rig.advance(1)
    ledger.away = True
    body = {**body, "issued_before": stamp(NOW + 1000)} if "issued_before" in body else body
    assert revoke(rig, **body).status == 200
    assert status(rig) == "revoked"
    ledger.come_back()
    assert ledger.book.events[-1].kind.startswith("revoked")


def test_what_only_the_ledger_remembers_can_be_ended() -> None:
    replicas = Replicas(ledger=True, settings=UNLIMITED)
    first, second = replicas.rigs
    generated = first.get(TARGET).json["generated"]
    replicas.flush()
    replicas.advance(1)
    answer = revoke(second, identity=ID)
    assert (answer.status, answer.json["generated"]) == (200, generated)
    assert [status(first), status(second)] == ["revoked", "revoked"]


@pytest.mark.parametrize("body", BODIES)
def test_a_failure_while_answering_is_a_500_also_when_the_store_answers_late(
    body: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(switched=True)
    for _ in range(3):
        rig.get(TARGET)
    client, headers = rig.connect(), {"Authorization": rig.bearer("revoke"), "Content-Type": "application/json"}
    rig.shared.holding = True
    client.send(request("POST", PATH, orjson.dumps(body), **headers))
    rig.shared.memory.revocations = Failing()  # type: ignore[assignment]
    rig.shared.release()
    rig.shared.release()
    assert client.answers("POST")[0].status == 500
    assert "a handler failed" in caplog.text


class Failing:
    """A stub that answers with moments that no calendar has."""

    def __getattr__(self, name: str) -> Any:
        far = 10**18
        revoked = Revoked(known=True, life=Life(far, far), floor=far, already=False)
        return lambda *arguments: arguments[-1](revoked if name == "revoke" else far)


# What comes after.


def test_issuing_again_begins_a_later_life_and_the_old_token_stays_dead() -> None:
    rig = Rig()
    first = rig.get(TARGET).json
    revoke(rig, identity=ID)
    second = rig.get(TARGET).json
    assert second["generated"] > first["generated"], "even within the same millisecond"
    assert second["token"] != first["token"]
    for _ in range(2):  # found in the store, then remembered
        assert status(rig) == "active"
        assert status(rig, token=second["token"]) == "active"
        assert status(rig, token=first["token"]) == "revoked"
        assert rig.post(VALIDATE, {"token": first["token"]}).json["valid"] is False
        assert rig.get(TARGET).json == second


def test_a_life_that_begins_at_the_epoch_lives() -> None:
    rig = Rig()
    rig.get(TARGET)
    revoke(rig, issued_before=stamp(NOW + 1))
    second = rig.get(TARGET).json
    assert second["generated"] == stamp(NOW + 1)
    assert status(rig, token=second["token"]) == "active"


@pytest.mark.parametrize("quota", [None, Quota(100, 60)])
@pytest.mark.parametrize("switched", [False, True])
def test_a_prepared_answer_of_a_revoked_identity_is_never_served_again(quota: Quota | None, switched: bool) -> None:
    rig = Rig(settings={"quota": quota}, switched=switched)
    client = rig.connect()
    hot = {"spelling": TARGET, "another": "/api/v1/id?run=1&prefix=player"}
    for target in hot.values():
        for _ in range(3):
            dead = client.get(target).json
    rig.advance(1)
    assert revoke(rig, identity=ID).status == 200
    for target in hot.values():
        assert client.get(target).json["generated"] == stamp(NOW + 1001)
        assert client.get(target).json["token"] != dead["token"]


# Several workers.

HOW = {
    "one": {"identity": ID},
    "prefix": {"prefix": "player", "issued_before": stamp(NOW + 2000)},
    "all": {"issued_before": stamp(NOW + 2000)},
}


@pytest.mark.parametrize("quota", [None, Quota(1000, 60)])
@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("how", HOW)
def test_what_one_worker_revoked_is_dead_in_the_next_request_to_another(
    how: str, ledger: bool, quota: Quota | None
) -> None:
    replicas = Replicas(3, ledger=ledger, settings={"quota": quota})
    first, second, idle = replicas.rigs
    hot, warm = second.connect(), idle.connect()
    batch = {"environments": [{"name": "a", "prefix": "player", "run": "1"}]}
    old = first.get(TARGET).json
    for _ in range(3):
        assert hot.get(TARGET).json == warm.get(TARGET).json == old
    replicas.advance(2)
    body = HOW[how]
    assert revoke(first, **body).status == 200
    assert [status(each) for each in (second, idle, first)] == ["revoked"] * 3
    again = hot.get(TARGET).json
    assert again["generated"] > old["generated"]
    assert idle.post("/api/v1/identities", batch).json["identities"][0]["token"] == again["token"]
    assert warm.get(TARGET).json == first.get(TARGET).json == again
    assert {status(each) for each in replicas.rigs} == {"active"}
    assert {status(each, token=old["token"]) for each in replicas.rigs} == {"revoked"}


@pytest.mark.parametrize("how", HOW)
def test_also_without_the_fast_path_in_between_a_batch_of_requests_is_judged_anew(how: str) -> None:
    replicas = Replicas(settings=UNLIMITED)
    first, second = replicas.rigs
    clients = [second.connect() for _ in range(5)]
    for client in clients:
        client.get(TARGET)
        client.get(TARGET)
    replicas.advance(2)
    revoke(first, **HOW[how])
    for client in clients:
        client.deliver(request("GET", TARGET))
    second.tick()
    answers = [client.answers("GET")[0].json["generated"] for client in clients]
    assert set(answers) == {stamp(NOW + 2000 + (how == "one"))}


@pytest.mark.parametrize("how", HOW)
def test_a_life_that_the_ledger_is_still_writing_when_it_is_revoked_is_not_kept(how: str) -> None:
    replicas = Replicas(ledger=True, settings=UNLIMITED)
    first, second = replicas.rigs
    second.get("/api/v1/id?prefix=player&run=2")
    client = second.connect()
    replicas.ledgers[1].holding = True
    client.send(request("GET", TARGET))
    replicas.advance(2)
    revoke(first, **HOW[how])
    second.get("/api/health")
    second.get("/api/v1/nothing")  # catches up
    replicas.ledgers[1].release_all()
    (concurrent,) = client.answers("GET")
    assert concurrent.status == 200, "asked for before it was revoked"
    assert status(second) == "revoked"
    assert client.get(TARGET).json["generated"] > concurrent.json["generated"]


def being_revoked(replicas: Replicas) -> tuple[str, Client]:
    """The identity's life, and its revocation on the first worker: the store has it already, the ledger not yet."""
    first, second = replicas.rigs
    old = second.get(TARGET).json["generated"]
    replicas.advance(2)
    replicas.ledgers[0].holding = True
    client = first.connect()
    headers = {"Authorization": first.bearer("revoke"), "Content-Type": "application/json"}
    client.send(request("POST", PATH, orjson.dumps({"identity": ID}), **headers))
    return old, client


def test_a_ledger_that_has_not_heard_of_the_revocation_is_asked_until_it_has() -> None:
    replicas = Replicas(ledger=True, settings=UNLIMITED)
    second = replicas.rigs[1]
    old, revoking = being_revoked(replicas)
    asked, ledger = second.connect(), replicas.ledgers[1]
    ledger.holding = True
    asked.send(request("GET", TARGET))
    for _ in range(3):
        ledger.release()
        ledger.release()
        assert asked.octets == b"", "the ledger still holds the life that was revoked"
    replicas.ledgers[0].release_all()
    assert revoking.answers("POST")[0].status == 200
    ledger.release_all()
    (answer,) = asked.answers("GET")
    assert answer.json["generated"] == stamp(NOW + 2001) > old
    assert replicas.book.records[ID].life == Life(NOW + 2001, NOW + 2001 + 3_600_000)
    assert second.get(TARGET).json == replicas.rigs[0].get(TARGET).json == answer.json
    assert status(second) == "active"


def test_a_ledger_that_does_not_hear_of_the_revocation_in_time_is_not_believed() -> None:
    replicas = Replicas(ledger=True, settings=UNLIMITED)
    second = replicas.rigs[1]
    old, _ = being_revoked(replicas)
    answer = second.get(TARGET).json
    assert answer["generated"] == stamp(NOW + 2001) > old
    assert second.get(TARGET).json == answer
    assert status(second) == "active"
