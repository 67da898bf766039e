"""``/api/v1/tokens``: who may mint, list, limit and withdraw, and that it holds from the next request on."""

from typing import Any

import pytest

from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.tokens.claims import ServiceToken, token_id
from tests.support.callers import ID, LIMITS, remaining
from tests.support.ledgers import SwitchedLedger
from tests.support.replicas import Replicas
from tests.support.rig import Answer, Rig, request

TOKENS = "/api/v1/tokens"
REVOKE = "/api/v1/tokens/revoke"
LIMIT = "/api/v1/tokens/limit"
ORDER = {"subject": "bot", "scope": "issue", "rate_limit": 50}
UNKNOWN = "0123456789abcdef0123"
ALL = ("issue", "revoke", "audit", "metrics", "tokens", "behalf")


def admin(rig: Rig) -> str:
    return rig.bearer(*ALL, subject="admin", rate_limit=100_000)


def minted(rig: Rig, **changes: Any) -> dict[str, Any]:
    answer = rig.post(TOKENS, ORDER | changes, Authorization=admin(rig))
    assert answer.status == 201, answer.json
    body: dict[str, Any] = answer.json
    return body


def bearer(token: dict[str, Any]) -> str:
    return f"Bearer {token['token']}"


def revoked(rig: Rig, **what: str) -> Answer:
    return rig.post(REVOKE, what, Authorization=admin(rig))


def test_a_minted_token_is_shown_once_and_listed_without_itself() -> None:
    rig = Rig(ledger=SwitchedLedger())
    token = minted(rig, name="till 4", scope="issue behalf", days=2, per_subject=3)
    assert isinstance(rig.keys.verify_service(token["token"], rig.wall), ServiceToken)
    listed = rig.get(TOKENS, Authorization=admin(rig))
    assert listed.headers["cache-control"] == "no-store"
    shown = {name: value for name, value in token.items() if name != "token"}
    assert listed.json == {"tokens": [shown], "total": 1, "cursor": None}
    assert shown == {
        "id": token_id(token["token"]),
        "name": "till 4",
        "subject": "bot",
        "scope": "issue behalf",
        "rate_limit": 50,
        "per_subject": 3,
        "issued": "2025-11-22T10:00:00.000Z",
        "expires": "2025-11-24T10:00:00.000Z",
        "created_by": "sub:admin",
        "last_used": None,
        "status": "active",
    }


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", TOKENS, None),
        ("POST", TOKENS, ORDER),
        ("POST", REVOKE, {"id": UNKNOWN}),
        ("POST", LIMIT, {"id": UNKNOWN, "rate_limit": 1}),
    ],
)
def test_only_the_scope_tokens_allows_it(method: str, path: str, body: object) -> None:
    rig = Rig(ledger=SwitchedLedger())
    for headers, status in (({}, 401), ({"Authorization": rig.bearer("issue", "revoke", "audit")}, 403)):
        answer = rig.get(path, **headers) if method == "GET" else rig.post(path, body, **headers)
        assert answer.status == status
        assert 'scope="tokens"' in answer.headers["www-authenticate"]


def test_nobody_hands_on_a_scope_that_he_lacks() -> None:
    rig = Rig(ledger=SwitchedLedger())
    mine = rig.bearer("issue", "tokens")
    assert rig.post(TOKENS, ORDER | {"scope": "issue tokens"}, Authorization=mine).status == 201
    answer = rig.post(TOKENS, ORDER | {"scope": "issue audit revoke"}, Authorization=mine)
    assert answer.status == 403
    assert answer.json["detail"] == "A token can't hand on a scope that it lacks: audit, revoke."


def test_pages_follow_each_other_newest_first() -> None:
    rig = Rig(ledger=SwitchedLedger())
    ids = []
    for number in range(5):
        ids.append(minted(rig, subject=f"bot{number % 2}")["id"])
        rig.advance(number % 2)
    found, cursor = [], ""
    while cursor is not None:
        page = rig.get(f"{TOKENS}?limit=2{cursor and '&cursor='}{cursor}", Authorization=admin(rig)).json
        found += [row["id"] for row in page["tokens"]]
        cursor = page["cursor"]
    assert sorted(found) == sorted(ids)
    assert found[0] == ids[-1]
    ours = rig.get(f"{TOKENS}?subject=bot1", Authorization=admin(rig)).json
    assert {row["id"] for row in ours["tokens"]} == {ids[1], ids[3]}


def test_without_a_ledger_nothing_is_listed_and_all_else_works() -> None:
    rig = Rig()
    assert rig.get(TOKENS, Authorization=admin(rig)).status == 503
    token = minted(rig)
    assert rig.get(ID, Authorization=bearer(token)).status == 200
    assert revoked(rig, id=token["id"]).json["known"] is False
    assert rig.get(ID, Authorization=bearer(token)).status == 401


def test_a_withdrawn_token_is_refused_by_the_next_request_of_a_connection_that_is_kept_open() -> None:
    rig = Rig(ledger=SwitchedLedger())
    token = minted(rig)
    client = rig.connect()
    seen = rig.recognized()
    for _ in range(5):
        assert client.get(ID, Authorization=bearer(token)).status == 200
    assert seen or rig.fast_path_of_app is None
    answer = revoked(rig, id=token["id"])
    assert answer.json == {
        "id": token["id"],
        "subject": "bot",
        "status": "revoked",
        "rate_limit": None,
        "known": True,
        "at": "2025-11-22T10:00:00.000Z",
    }
    refused = client.get(ID, Authorization=bearer(token))
    assert refused.status == 401
    assert refused.json["detail"] == "The token has been withdrawn."
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert client.get(ID).status == 200, "the connection goes on"


def test_another_limit_holds_from_the_next_request_on_and_the_connection_is_recognised_again() -> None:
    rig = Rig(ledger=SwitchedLedger())
    token = minted(rig)
    client = rig.connect()
    for left in range(49, 44, -1):
        assert remaining(client.get(ID, Authorization=bearer(token))) == left
    answer = rig.post(LIMIT, {"id": token["id"], "rate_limit": 10}, Authorization=admin(rig))
    assert (answer.status, answer.json["rate_limit"]) == (200, 10)
    after = client.get(ID, Authorization=bearer(token))
    assert after.headers["ratelimit-policy"] == '"token";q=10;w=3600'
    client.get(ID, Authorization=bearer(token))
    assert client.connection._recognizer is not None


def test_a_withdrawn_token_gets_no_other_limit() -> None:
    rig = Rig(ledger=SwitchedLedger())
    token = minted(rig)
    assert revoked(rig, id=token["id"]).status == 200
    rig.advance(1)
    answer = rig.post(LIMIT, {"id": token["id"], "rate_limit": 10}, Authorization=admin(rig))
    assert answer.status == 409
    assert rig.get(ID, Authorization=bearer(token)).status == 401


def test_all_tokens_of_a_subject_end_and_a_new_one_is_good_at_once() -> None:
    rig = Rig(ledger=SwitchedLedger())
    old = [minted(rig), minted(rig), minted(rig, subject="shop")]
    assert revoked(rig, subject="bot").json["id"] is None
    new = minted(rig)
    statuses = [rig.get(ID, Authorization=bearer(token)).status for token in (*old, new)]
    assert statuses == [401, 401, 200, 200]


def test_a_token_of_an_earlier_release_is_withdrawn_by_its_signature_or_its_subject() -> None:
    rig = Rig(ledger=SwitchedLedger())
    earlier = [rig.keys.mint_service("bot", ["issue"], 10, 1, rig.wall) for _ in range(3)]
    assert revoked(rig, id=token_id(earlier[0])).json["known"] is False
    assert [rig.get(ID, Authorization=f"Bearer {token}").status for token in earlier] == [401, 200, 200]
    assert revoked(rig, subject="bot").status == 200
    assert [rig.get(ID, Authorization=f"Bearer {token}").status for token in earlier] == [401] * 3


def test_two_tokens_of_one_subject_share_one_limit_also_within_a_tick() -> None:
    rig = Rig(settings={"quota": Quota(100, 3600)}, switched=True)
    tokens = [minted(rig, rate_limit=10), minted(rig, rate_limit=10)]
    del rig.shared.admissions[:]
    clients = [rig.connect(), rig.connect()]
    for client, token in zip(clients, tokens, strict=True):
        client.deliver(request("GET", ID, Authorization=bearer(token)))
    rig.tick()
    assert sorted(remaining(client.answers("GET")[0]) for client in clients) == [8, 9]
    seen = [clients[turn % 2].get(ID, Authorization=bearer(tokens[turn % 2])).status for turn in range(10)]
    assert seen == [200] * 8 + [429] * 2
    assert rig.shared.admissions[0] == [("sub:bot", 1), ("sub:bot", 1)]


@pytest.mark.parametrize("target", [ID, LIMITS, "/api/metrics", "/api/telemetry", "/api/v1/audit"])
@pytest.mark.parametrize("quota", [Quota(1000, 60), None])
def test_what_was_withdrawn_on_one_replica_is_refused_on_the_other_by_the_next_request_of_any_kind(
    target: str, quota: Quota | None
) -> None:
    replicas = Replicas(ledger=True, settings={"quota": quota, "metrics_by_token": True})
    one, other = replicas.rigs
    token = minted(one, scope="issue audit metrics", rate_limit=1000)
    client = other.connect()
    for _ in range(3):
        assert client.get(target, Authorization=bearer(token)).status == 200
    assert revoked(one, id=token["id"]).status == 200
    assert client.get(target, Authorization=bearer(token)).status == 401
    assert other.get(target, Authorization=bearer(token)).status == 401


def test_of_one_tick_only_the_withdrawn_token_is_refused_on_the_other_replica() -> None:
    replicas = Replicas(ledger=True)
    one, other = replicas.rigs
    good, bad = minted(one, subject="good"), minted(one, subject="bad")
    clients = [other.connect() for _ in range(4)]
    requests = [
        request("GET", ID, Authorization=bearer(good)),
        request("GET", ID, Authorization=bearer(bad)),
        request("GET", ID),
        request("GET", LIMITS, Authorization=bearer(bad)),
    ]
    for _ in range(3):
        for client, octets in zip(clients, requests, strict=True):
            client.send(octets)
            client.take()
    assert revoked(one, id=bad["id"]).status == 200
    for client, octets in zip(clients, requests, strict=True):
        client.deliver(octets)
    other.tick()
    assert [client.answers("GET")[0].status for client in clients] == [200, 401, 200, 401]


def test_a_withdrawal_outlives_the_memory_of_the_store_and_reaches_a_replica_that_has_not_heard_of_it() -> None:
    replicas = Replicas(ledger=True)
    one, other = replicas.rigs
    token, limited = minted(one), minted(one, subject="shop")
    for each in (token, limited):
        assert other.get(ID, Authorization=bearer(each)).status == 200
    assert revoked(one, id=token["id"]).status == 200
    assert one.post(LIMIT, {"id": limited["id"], "rate_limit": 9}, Authorization=admin(one)).status == 200
    replicas.flush()
    for rig in (other, one, other):
        assert rig.get(ID, Authorization=bearer(token)).status == 401
        assert rig.get(ID, Authorization=bearer(limited)).headers["ratelimit-policy"] == '"token";q=9;w=3600'


def test_without_a_ledger_the_workers_remember_withdrawals_for_the_store() -> None:
    replicas = Replicas(ledger=False)
    one, other = replicas.rigs
    token = minted(one)
    assert revoked(one, id=token["id"]).status == 200
    assert other.get(ID, Authorization=bearer(token)).status == 401
    replicas.flush()
    assert other.get(ID).status == 200
    fresh = Rig(store=one.shared)
    assert fresh.get(ID, Authorization=bearer(token)).status == 401


def test_a_withdrawal_made_while_the_store_is_away_is_shared_when_it_returns() -> None:
    replicas = Replicas(ledger=True)
    one, other = replicas.rigs
    token = minted(one)
    assert other.get(ID, Authorization=bearer(token)).status == 200
    for rig in replicas.rigs:
        rig.shared.away = True
    assert revoked(one, id=token["id"]).status == 200
    assert one.get(ID, Authorization=bearer(token)).status == 401
    assert other.get(ID, Authorization=bearer(token)).status == 200, "it has not read the ledger yet"
    other.service.identities.sync.follow_ledger()
    assert other.get(ID, Authorization=bearer(token)).status == 401
    fresh = Replicas(ledger=False).rigs[0]
    fresh.shared.memory = one.shared.memory
    one.shared.come_back()
    assert fresh.get(ID, Authorization=bearer(token)).status == 401, "the store has it now"


def test_while_store_and_ledger_are_away_a_withdrawal_is_a_503() -> None:
    ledger = SwitchedLedger()
    rig = Rig(ledger=ledger, switched=True)
    rig.shared.away = ledger.away = True
    answer = revoked(rig, id=UNKNOWN)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"


def test_every_change_stands_in_the_audit() -> None:
    rig = Rig(ledger=SwitchedLedger())
    token = minted(rig)
    rig.advance(1)
    rig.post(LIMIT, {"id": token["id"], "rate_limit": 9}, Authorization=admin(rig), X_Request_Id="r-2")
    rig.advance(1)
    by_id = revoked(rig, id=token["id"]).headers["x-request-id"]
    rig.advance(1)
    made = revoked(rig, subject="bot").headers["x-request-id"]
    events = rig.get("/api/v1/audit", Authorization=admin(rig)).json["events"]
    told = [(each["event"], each["token"], each["subject"], each["rate_limit"], each["request_id"]) for each in events]
    minted_by = events[-1]["request_id"]
    assert told == [
        ("token_revoked", None, "bot", None, made),
        ("token_revoked", token["id"], "bot", None, by_id),
        ("token_limited", token["id"], "bot", 9, "r-2"),
        ("token_minted", token["id"], "bot", 50, minted_by),
    ]
    assert {each["caller"] for each in events} == {"sub:admin"}


@pytest.mark.parametrize("quota", [Quota(1000, 60), None])
def test_when_a_token_was_last_used_is_told_to_the_minute(quota: Quota | None) -> None:
    rig = Rig(ledger=SwitchedLedger(), settings={"quota": quota})
    used, unused = minted(rig), minted(rig, subject="shop")
    rig.advance(125)
    for _ in range(3):
        rig.get(ID, Authorization=bearer(used))
    rig.service.service_tokens.tend()
    rows = {row["id"]: row for row in rig.get(TOKENS, Authorization=admin(rig)).json["tokens"]}
    assert rows[used["id"]]["last_used"] == "2025-11-22T10:02:00.000Z"
    assert rows[unused["id"]]["last_used"] is None


def test_a_token_is_refused_that_was_withdrawn_while_its_request_was_on_the_way() -> None:
    """Another batch brings the news first, so that the revision of this one's admission is known when it comes."""
    replicas = Replicas(ledger=True)
    one, other = replicas.rigs
    token = minted(one)
    client, stranger = other.connect(), other.connect()
    for _ in range(3):
        assert client.get(ID, Authorization=bearer(token)).status == 200
    assert revoked(one, id=token["id"]).status == 200
    other.shared.holding = True
    stranger.send(request("GET", ID))
    client.send(request("GET", ID, Authorization=bearer(token)))
    assert len(other.shared.held) == 2
    other.shared.release(0)
    assert len(other.shared.held) == 2, "the changes are read"
    other.shared.release(1)
    assert stranger.answers("GET")[0].status == 200
    other.shared.release_all()
    other.tick()
    assert client.answers("GET")[0].status == 401


def test_who_may_issue_all_prefixes_hands_on_one_of_them_and_not_the_other_way_round() -> None:
    rig = Rig(ledger=SwitchedLedger())
    assert minted(rig, scope="issue:ci audit")["scope"] == "audit issue:ci"
    of_one = rig.bearer("tokens", "issue:ci", subject="pipeline")
    for scope, status in (("issue:ci", 201), ("issue", 403), ("issue:cd", 403)):
        assert rig.post(TOKENS, ORDER | {"scope": scope}, Authorization=of_one).status == status
    assert rig.post(TOKENS, ORDER | {"scope": "audit:ci"}, Authorization=admin(rig)).status == 400


@pytest.mark.parametrize("wanted", [{"per_subject": 3}, {"scope": "behalf"}, {"scope": "issue", "per_subject": 3}])
def test_the_limit_of_each_end_user_and_the_scope_behalf_need_each_other(wanted: dict[str, object]) -> None:
    rig = Rig(ledger=SwitchedLedger())
    answer = rig.post(TOKENS, ORDER | wanted, Authorization=admin(rig))
    assert answer.status == 400
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/per_subject"]
