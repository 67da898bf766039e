"""A recognised request from its admission to its response: cached, issued, stale, denied, refused."""

from typing import Any

import pytest

from arsenal_fast.api.admission import OnFailure
from arsenal_fast.identity.validity import Life
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.registry.cache import CachedIdentity
from tests.support.ledgers import SwitchedLedger
from tests.support.rig import Answer, Client, Rig, request

HOUR_S = 3600.0

WARMING = 4
"""Requests until the response is cached: it is kept from the third request on."""


def get(run: int | str = 1, **headers: str) -> bytes:
    return request("GET", f"/api/v1/id?prefix=player&run={run}", **headers)


def warm(rig: Rig) -> Client:
    """A client whose connection recognises requests, and of which nothing is owed."""
    client = rig.connect()
    for _ in range(WARMING):
        client.send(get())
    client.take()
    return client


def one(client: Client, octets: bytes) -> Answer:
    client.send(octets)
    (answer,) = client.answers("GET")
    return answer


def logged(rig: Rig) -> list[tuple[str, int]]:
    return [(client, status) for _, client, status in rig.access]


def test_a_cached_response_is_counted_when_its_batch_has_ended() -> None:
    rig = Rig()
    client = warm(rig)
    before = rig.service.metrics.answered
    client.deliver(get())
    client.deliver(get())
    assert client.octets == b""
    assert rig.service.metrics.answered == before
    rig.tick()
    assert len(client.answers("GET", "GET")) == 2
    assert rig.service.metrics.answered == before + 2


def test_a_full_worker_keeps_every_new_identity_and_of_those_that_the_store_has_what_comes_back() -> None:
    rig = Rig(settings={"cache_size": 40})
    client = warm(rig)
    known = [one(client, get(run)).json["id"] for run in range(100, 110)]
    identities = rig.service.identities
    identities.invalidate(None)
    for run in range(41):
        identities.remember(f"other-{run}", Life(0, 1), identities.invalidations)
    assert [one(client, get(run)).json["id"] for run in range(100, 110)] == known
    assert sum(entry is not None for entry in identities.get_all(known)) < 4
    assert [one(client, get(run)).json["id"] for run in range(105, 110)] == known[5:]
    assert all(identities.get_all(known[5:]))
    new = [one(client, get(run)).json["id"] for run in range(200, 210)]
    assert all(identities.get_all(new))


def test_a_full_worker_asks_once_for_what_has_left_the_fast_path() -> None:
    rig = Rig(settings={"cache_size": 40}, switched=True)
    client = warm(rig)
    known = one(client, get(100)).json["id"]
    identities = rig.service.identities
    identities.invalidate(None)
    for run in range(41):
        identities.remember(f"other-{run}", Life(0, 1), identities.invalidations)
    rig.shared.issues.clear()
    rig.shared.admitting = rig.shared.holding = True
    client.deliver(get(100))
    rig.tick()
    client.connection.drain()
    rig.shared.release_all()
    rig.tick()
    assert client.answers("GET")[0].json["id"] == known
    assert [[row.id for row in rows] for rows in rig.shared.issues] == [[known]]


def test_an_identity_has_an_entry_from_its_second_request_and_a_line_from_its_third(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    client = warm(rig)
    entries: list[str] = []
    make = rig.service.identities._make_entry

    def noting(identity: str, life: Life) -> CachedIdentity:
        entries.append(identity)
        return make(identity, life)

    monkeypatch.setattr(rig.service.identities, "_make_entry", noting)
    lines = len(rig.service.response_cache.by_line)
    first = one(client, get(2))
    assert entries == []
    assert one(client, get(2)).json == first.json
    assert entries == [first.json["id"]]
    assert len(rig.service.response_cache.by_line) == lines
    assert [one(client, get(2)).json for _ in range(2)] == [first.json] * 2
    assert len(rig.service.response_cache.by_line) == lines + 1
    assert entries == [first.json["id"]]


@pytest.mark.parametrize("run", [1, 2])
def test_a_transport_that_has_just_failed_disturbs_no_other(run: int, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    failing, other = warm(rig), warm(rig)
    failing.transport.broken = True
    failing.deliver(get(run))
    other.deliver(get(3))
    rig.tick()
    assert [answer.json["metadata"]["run"] for answer in other.answers("GET")] == ["3"]
    failing.lose()
    assert not caplog.records


def test_a_missing_identity_is_issued_and_the_next_request_finds_it() -> None:
    rig = Rig()
    client = warm(rig)
    issued = rig.service.metrics.identity_issued
    first, second = one(client, get(2)), one(client, get(2))
    assert first.json["id"] == second.json["id"]
    assert rig.service.metrics.identity_issued == issued + 1


def test_what_is_issued_is_written_down_with_its_client_and_request_id() -> None:
    ledger = SwitchedLedger()
    rig = Rig(ledger=ledger, worthwhile=1)
    client = rig.connect()
    found = rig.recognized()
    client = rig.connect()
    for run in range(3):
        assert one(client, get(run, X_Request_Id=f"r-{run}")).status == 200
    assert len(found) == 2
    assert [(row.caller, row.request_id) for rows in ledger.recorded for row in rows] == [
        ("203.0.113.9", f"r-{run}") for run in range(3)
    ]


def test_what_is_stale_when_its_request_is_admitted_is_renewed_by_the_handler() -> None:
    rig = Rig()
    client = warm(rig)
    client.deliver(get())
    rig.advance(HOUR_S)
    rig.tick()
    (answer,) = client.answers("GET")
    assert answer.status == 200
    assert rig.service.metrics.identity_issued + rig.service.metrics.identity_renewed == 2
    assert one(client, get()).json == answer.json, "and is cached again"


def test_what_is_revoked_between_its_look_up_and_its_admission_is_not_handed_out() -> None:
    rig = Rig()
    client = warm(rig)
    old = one(client, get()).json
    rig.advance(1)
    client.deliver(get())
    rig.spare.revocations.set_epoch(None, 0, lambda _: None)  # as another worker does
    rig.advance(0.001)
    rig.tick()
    (answer,) = client.answers("GET")
    assert answer.json["generated"] > old["generated"]


def test_a_denied_request_is_a_429_with_the_lines_of_its_own() -> None:
    rig = Rig(settings={"quota": Quota(WARMING, 3600)})
    client = warm(rig)
    answer = one(client, get())
    assert (answer.status, answer.headers["x-ratelimit-remaining"]) == (429, "0")
    assert one(client, get(2)).status == 429


def test_without_a_limiter_a_request_is_a_503_where_none_may_pass() -> None:
    rig = Rig(settings={"on_store_failure": OnFailure.CLOSED}, switched=True)
    client = warm(rig)
    rig.shared.away = True
    assert one(client, get()).status == 503
    rig.shared.come_back()
    assert one(client, get()).status == 200


@pytest.mark.parametrize(("mode", "count"), [("all", 1), ("errors", 0)])
@pytest.mark.parametrize("run", [1, 2])
def test_each_response_has_one_line_where_all_are_logged(mode: str, count: int, run: int) -> None:
    rig = Rig(settings={"access_log": mode})
    client = warm(rig)
    rig.access.clear()
    assert one(client, get(run)).status == 200
    assert logged(rig) == [("203.0.113.9", 200)] * count


@pytest.mark.parametrize("mode", ["all", "errors"])
def test_a_refusal_has_one_line_in_both_modes(mode: str) -> None:
    settings: dict[str, Any] = {"access_log": mode, "quota": Quota(WARMING, 3600)}
    rig = Rig(settings=settings)
    client = warm(rig)
    rig.access.clear()
    one(client, get())
    assert logged(rig) == [("203.0.113.9", 429)]


def test_a_client_that_has_gone_gets_nothing_and_disturbs_nobody() -> None:
    rig = Rig()
    gone, other = warm(rig), warm(rig)
    gone.deliver(get(7))
    other.deliver(get(7))
    gone.lose()
    rig.tick()
    assert gone.octets == b""
    assert other.answers("GET")[0].status == 200


UNKNOWN = "nobody-1@sports.api.yourbook.com/v1:id"


def validate(identity: str) -> bytes:
    body = b'{"identity":"%b"}' % identity.encode()
    return request("POST", "/api/v1/validate", body, Content_Type="application/json")


def validating(rig: Rig) -> Client:
    """A client whose connection recognises validations."""
    client = rig.connect()
    assert one(client, validate(UNKNOWN)).status == 200
    return client


@pytest.mark.parametrize("fetches", [True, False])
@pytest.mark.parametrize("ledger", [True, False])
@pytest.mark.parametrize("case", ["in the store", "in the ledger", "revoked", "expired", "unknown", "store away"])
def test_a_validation_that_has_to_be_looked_up_gets_the_handlers_response(
    case: str, ledger: bool, fetches: bool
) -> None:
    rig = Rig(worthwhile=1, switched=True, fetches=fetches, ledger=SwitchedLedger() if ledger else None)
    found, answers = rig.recognized(), []
    client, issued = validating(rig), rig.get("/api/v1/id?prefix=player&run=5").json
    identity = UNKNOWN if case == "unknown" else issued["id"]
    if case == "revoked":
        assert rig.post("/api/v1/revoke", {"identity": identity, "token": issued["token"]}).status == 200
    rig.advance(2 * HOUR_S if case == "expired" else 1)
    rig.shared.away = case == "store away"
    for each in (client, rig.connect()):
        rig.service.identities.invalidate(None)
        if case == "in the ledger":
            rig.shared.memory = rig.memory()
        answers.append(one(each, validate(identity)))
    assert len(found) == 1
    assert answers[0].body == answers[1].body
    assert answers[0].headers.keys() == answers[1].headers.keys()


def test_validations_of_one_tick_are_one_look_up_and_a_client_that_has_gone_disturbs_nobody() -> None:
    rig = Rig(worthwhile=1, switched=True)
    clients = [validating(rig) for _ in range(3)]
    ids = [rig.get(f"/api/v1/id?prefix=player&run={run}").json["id"] for run in range(3)]
    rig.service.identities.invalidate(None)
    looked_up = rig.service.metrics.identity_lookups
    for client, identity in zip(clients, ids, strict=True):
        client.deliver(validate(identity))
    clients[0].lose()
    rig.tick()
    assert clients[0].octets == b""
    assert [client.answers("POST")[0].json["identity"] for client in clients[1:]] == ids[1:]
    assert rig.service.metrics.identity_lookups - looked_up == 3


def test_parsed_and_recognised_validations_of_one_tick_are_one_look_up() -> None:
    rig = Rig(worthwhile=1, switched=True)
    recognised, parsed = validating(rig), rig.connect()
    before = len(rig.shared.finds)
    for number, client in enumerate((recognised, parsed)):
        client.deliver(validate(UNKNOWN.replace("-", f"-{number}", 1)))
    rig.tick()
    assert [len(ids) for ids in rig.shared.finds[before:]] == [2]
    assert [client.answers("POST")[0].json["status"] for client in (recognised, parsed)] == ["unknown"] * 2


def test_a_parsed_validation_whose_look_up_fails_is_answered_500(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.service.lookup.store = None  # type: ignore[assignment]
    assert one(rig.connect(), validate(UNKNOWN)).status == 500
    assert "'NoneType' object has no attribute 'find'" in caplog.text


def test_a_validation_that_is_overtaken_while_it_is_looked_up_is_answered_first() -> None:
    rig = Rig(worthwhile=1, switched=True)
    client, identity = validating(rig), rig.get("/api/v1/id?prefix=player&run=5").json["id"]
    rig.service.identities.invalidate(None)
    client.deliver(validate(identity))
    client.deliver(validate(UNKNOWN))
    rig.tick()
    assert [answer.json["status"] for answer in client.answers("POST", "POST")] == ["active", "unknown"]


def test_a_validation_whose_look_up_fails_ends_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(worthwhile=1, switched=True)
    client = validating(rig)
    rig.service.lookup.store = None  # type: ignore[assignment]
    client.send(validate("nobody-2@sports.api.yourbook.com/v1:id"))
    assert client.transport.aborted
    assert "failed" in caplog.text


@pytest.mark.parametrize(("mode", "count"), [("all", 1), ("errors", 0)])
def test_a_validation_that_is_looked_up_has_one_line_where_all_are_logged(mode: str, count: int) -> None:
    rig = Rig(worthwhile=1, settings={"access_log": mode})
    client = validating(rig)
    rig.access.clear()
    assert one(client, validate("nobody-2@sports.api.yourbook.com/v1:id")).status == 200
    assert logged(rig) == [("203.0.113.9", 200)] * count


# What a request needs of the store, fetched with the command that admits it.


def fetching(**options: Any) -> tuple[Rig, list[Client]]:
    """A worker whose store fetches, and two connections of one address that it recognises; nothing is counted yet."""
    rig = Rig(worthwhile=1, switched=True, fetches=True, **options)
    clients = [warm(rig), warm(rig)]
    rig.shared.issues.clear()
    rig.shared.finds.clear()
    return rig, clients


def held(rig: Rig, run: int) -> bool:
    identity = f"player-{run}@sports.api.yourbook.com/v1:id"
    return rig.shared.memory.records.get(identity, round(rig.wall * 1000)) is not None


@pytest.mark.parametrize("quota", [Quota(100, 3600), None])
def test_a_missing_identity_is_issued_by_the_command_that_admits(quota: Quota | None) -> None:
    rig, (client, other) = fetching(settings={"quota": quota})
    admissions = len(rig.shared.admissions)
    client.deliver(get(2))
    other.deliver(get(3))
    rig.tick()
    assert [len(each.answers("GET")) for each in (client, other)] == [1, 1]
    assert (len(rig.shared.admissions), rig.shared.issues) == (admissions + 1, [])
    assert held(rig, 2)
    assert held(rig, 3)


def test_an_identity_is_looked_up_by_the_command_that_admits() -> None:
    rig = Rig(worthwhile=1, switched=True, fetches=True)
    client, identity = validating(rig), rig.get("/api/v1/id?prefix=player&run=5").json["id"]
    rig.service.identities.invalidate(None)
    rig.shared.finds.clear()
    metrics = rig.service.metrics
    before = metrics.identity_lookups, metrics.identity_lookup_hits
    assert [one(client, validate(each)).json["status"] for each in (identity, UNKNOWN)] == ["active", "unknown"]
    assert rig.shared.finds == []
    assert (metrics.identity_lookups - before[0], metrics.identity_lookup_hits - before[1]) == (2, 1)
    entry = rig.service.identities.get(identity)
    assert entry is not None
    assert entry.id == identity


def test_a_kept_verdict_whose_identity_was_dropped_is_looked_up_by_the_command_that_admits() -> None:
    rig = Rig(worthwhile=1, switched=True, fetches=True)
    client, identity = validating(rig), rig.get("/api/v1/id?prefix=player&run=5").json["id"]
    assert one(client, validate(identity)).json["status"] == "active"
    rig.shared.finds.clear()
    for status, seconds in (("active", 1), ("active", HOUR_S // 2), ("expired", HOUR_S // 2)):
        rig.service.identities.invalidate(None)
        rig.advance(seconds)
        assert one(client, validate(identity)).json["status"] == status
    assert rig.shared.finds == []


def test_a_verdict_that_expires_while_its_request_waits_is_looked_up() -> None:
    rig = Rig(worthwhile=1, switched=True, fetches=True)
    client, identity = validating(rig), rig.get("/api/v1/id?prefix=player&run=5").json["id"]
    assert one(client, validate(identity)).json["status"] == "active"
    client.deliver(validate(identity))
    rig.advance(HOUR_S + 1)
    rig.tick()
    assert client.answers("POST")[0].json["status"] == "expired"
    rig.shared.finds.clear()
    assert one(client, validate(identity)).json["status"] == "expired"
    assert rig.shared.finds == [], "from then on it is looked up by the command that admits"


def test_nothing_is_issued_for_a_request_that_is_refused() -> None:
    rig, (client, other) = fetching(settings={"quota": Quota(2 * WARMING + 1, 3600)})
    client.deliver(get(2))
    other.deliver(get(3))
    rig.tick()
    assert [each.answers("GET")[0].status for each in (client, other)] == [200, 429]
    assert (held(rig, 2), held(rig, 3)) == (True, False)
    assert [[row.id for row in rows] for rows in rig.shared.issues] == [["player-2@sports.api.yourbook.com/v1:id"]]


def test_without_the_store_a_missing_identity_is_issued_by_the_worker() -> None:
    rig, (client, _) = fetching()
    rig.shared.away = True
    assert one(client, get(2)).status == 200
    assert rig.service.metrics.identity_issued_without_store == 1


def test_what_was_fetched_for_one_request_is_not_the_answer_to_the_next() -> None:
    rig, (client, _) = fetching()
    first = one(client, get(2)).json
    rig.advance(HOUR_S)
    again = [one(client, get(run)).json for run in (1, 2)]
    assert again[1]["generated"] > first["generated"]
    assert [each["metadata"]["run"] for each in again] == ["1", "2"]


def test_a_stale_response_of_a_usual_line_is_issued_anew_without_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, (client, _) = fetching()
    first = one(client, get()).json
    monkeypatch.setattr(rig.app, "route_of", None)
    rig.advance(HOUR_S)
    renewed = one(client, get()).json
    assert renewed["generated"] > first["generated"]
    assert len(rig.shared.issues) == 1
    assert one(client, get()).json == renewed
    assert len(rig.shared.issues) == 1


def test_an_identity_that_was_dropped_is_fetched_by_the_command_that_admits() -> None:
    rig, (client, _) = fetching()
    first = one(client, get()).json
    rig.service.identities.invalidate(None)
    assert one(client, get()).json == first
    assert rig.shared.issues == []
