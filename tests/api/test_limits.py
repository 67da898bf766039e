"""Policies of a limits file, as the callers of one worker meet them."""

from typing import Any

import pytest

from arsenal_fast.api.admission import OnFailure
from arsenal_fast.api.limits import MAX_CHARGED, RequestLimits
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.policies import Policies, parse_policies
from arsenal_fast.ratelimit.quota import UNLIMITED
from tests.support.rig import Answer, Rig

ID = "/api/v1/id?prefix=player&run=1"
BATCH = "/api/v1/identities"
TWO = parse_policies(
    """
    [[policy]]
    name = "hour"
    requests = 5
    window = 3600

    [[policy]]
    name = "burst"
    requests = 3
    window = 30
    """
)


def policies(*tables: str) -> Policies:
    return parse_policies("".join(f"[[policy]]\n{table}\n" for table in tables))


def one(name: str, requests: int, *more: str, window: int = 3600) -> str:
    return "\n".join((f'name = "{name}"', f"requests = {requests}", f"window = {window}", *more))


def limited(found: Policies, **settings: Any) -> Rig:
    return Rig(settings={"policies": found, **settings})


def rows(count: int, prefix: str = "player") -> dict[str, object]:
    return {"environments": [{"name": f"e{row}", "prefix": prefix, "run": str(row)} for row in range(count)]}


def remaining(answer: Answer) -> dict[str, int]:
    """What is left of each policy, as told in RateLimit."""
    members = answer.headers.get("ratelimit", "").split(", ")
    return {each.split(";")[0].strip('"'): int(each.split(";r=")[1].split(";")[0]) for each in members if each}


def test_several_policies_are_charged_together_and_all_are_told() -> None:
    rig = limited(TWO)
    answers = [rig.get(ID) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert remaining(answers[-1]) == {"hour": 2, "burst": 0}
    assert answers[-1].headers["ratelimit-policy"] == '"hour";q=5;w=3600, "burst";q=3;w=30'
    assert answers[-1].headers["x-ratelimit-limit"] == "3", "the customary fields are of the tightest"
    refused = rig.get(ID)
    assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    assert refused.json["violated-policies"] == ["burst"]
    assert remaining(refused) == {"hour": 2, "burst": 0}, "refused by one means charged to none"
    rig.advance(30)
    assert [rig.get(ID).status for _ in range(3)] == [200, 200, 429]
    assert rig.get(ID).json["violated-policies"] == ["hour"]


def test_an_address_has_its_cells_and_no_other() -> None:
    rig = limited(TWO)
    for _ in range(4):
        rig.get(ID)
    assert rig.connect(("203.0.113.10", 1)).get(ID).status == 200


def test_a_policy_named_default_goes_on_where_the_variables_left_off() -> None:
    shared = Rig(switched=True).shared
    before = Rig(store=shared)
    assert before.get(ID).headers["x-ratelimit-remaining"] == "99"
    after = limited(policies(one("default", 100)), token_window=60)
    after_rig = Rig(settings={"policies": policies(one("default", 100))}, store=shared)
    assert after_rig.get(ID).headers["x-ratelimit-remaining"] == "98"
    assert after.get(ID).headers["x-ratelimit-remaining"] == "99"


def test_a_group_of_routes_has_a_limit_of_its_own() -> None:
    rig = limited(policies(one("checks", 1, 'routes = ["validate"]')))
    body = {"identity": "player-1@a.example/v1:id"}
    assert [rig.post("/api/v1/validate", body).status for _ in range(2)] == [200, 429]
    free = rig.get(ID)
    assert free.status == 200
    assert "ratelimit" not in free.headers
    assert "x-ratelimit-limit" not in free.headers


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_prefix_has_a_limit_of_its_own_however_it_is_written(fast_path: bool) -> None:
    rig = Rig(settings={"policies": policies(one("players", 6, 'prefixes = ["Player"]'))}, fast_path=fast_path)
    written = ("/api/v1/id?prefix=player&run=1", "/api/v1/id?run=1&prefix=%70layer", "/api/v1/id?prefix=PLAYER&run=1")
    client = rig.connect()
    assert [remaining(client.get(target)) for target in written] == [{"players": 5 - each} for each in range(3)]
    assert [remaining(client.get("/api/v1/id?prefix=bot&run=1")) for _ in range(3)] == [{}] * 3
    escaped = b'{"environments":[{"name":"a","pre\\u0066ix":"pl\\u0061yer","run":"1"},{"name":"b","prefix":"x"}]}'
    assert remaining(client.post(BATCH, escaped)) == {"players": 2}
    assert remaining(client.post(BATCH, rows(30))) == {"players": 1}, "one request, whatever it has"
    assert remaining(client.post(BATCH, rows(2, "bot"))) == {}
    assert remaining(client.post(BATCH, b"{")) == {}


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_batch_costs_its_rows(fast_path: bool) -> None:
    rig = Rig(settings={"policies": policies(one("rows", 100, 'cost = "rows"'))}, fast_path=fast_path)
    client = rig.connect()
    # The same batch is cached from the second time on, and costs the same.
    assert [remaining(client.post(BATCH, rows(30))) for _ in range(3)] == [{"rows": left} for left in (70, 40, 10)]
    refused = client.post(BATCH, rows(30))
    assert (refused.status, refused.headers["retry-after"]) == (429, "720"), "20 more, one each 36 s"
    assert remaining(client.get(ID)) == {"rows": 9}
    listed = {"identities": ["a-1@a.example/v1:id"] * 4}
    assert remaining(client.post("/api/v1/validate", listed)) == {"rows": 5}


def test_a_batch_that_costs_more_than_its_policy_allows_is_told_to_split() -> None:
    rig = limited(policies(one("rows", 20, 'cost = "rows"')))
    refused = rig.post(BATCH, rows(21))
    assert refused.status == 429
    assert "retry-after" not in refused.headers, "it would never pass"
    assert refused.json["detail"] == "This request costs 21 of the 20 that rows allows at once: split it."
    assert refused.json["violated-policies"] == ["rows"]
    assert remaining(refused) == {"rows": 20}
    assert rig.post(BATCH, rows(20)).status == 200


def test_a_bad_batch_costs_one() -> None:
    rig = limited(policies(one("rows", 100, 'cost = "rows"')))
    for body in (b"[]", b"{", b'{"environments":1}', b'{"environments":[]}'):
        rig.post(BATCH, body)
    assert remaining(rig.get(ID)) == {"rows": 95}


def test_what_tokens_are_charged_is_their_own_limit_and_the_policies_for_them() -> None:
    rig = limited(policies(one("all", 50, 'callers = "all"'), one("addresses", 1)), quota=None, token_window=60)
    token = rig.bearer("issue", rate_limit=10)
    answer = rig.get(ID, Authorization=token)
    assert answer.headers["ratelimit-policy"] == '"token";q=10;w=60, "all";q=50;w=3600'
    assert remaining(answer) == {"token": 9, "all": 49}
    assert remaining(rig.get(ID)) == {"all": 49, "addresses": 0}


def test_an_end_user_and_the_policies_of_a_file_are_charged_together() -> None:
    rig = limited(policies(one("bots", 3, 'callers = "tokens"')))
    fields = {"Authorization": rig.bearer("behalf", subject="bot", rate_limit=9, per_subject=2)}
    client = rig.connect()
    answers = [client.get(ID, **fields, Arsenal_Subject=f"tg-{number}") for number in (1, 1, 1, 2, 3)]
    assert [answer.status for answer in answers] == [200, 200, 429, 200, 429]
    assert answers[2].json["violated-policies"] == ["subject"]
    assert answers[4].json["violated-policies"] == ["bots"]
    assert remaining(answers[3]) == {"token": 6, "subject": 1, "bots": 0}
    assert {row["policy"] for row in client.get("/api/v1/limits", **fields).json["policies"]} == {"token", "bots"}


def test_a_withdrawn_token_is_refused_whatever_the_policies() -> None:
    rig = limited(policies(one("all", 50, 'callers = "all"')))
    client, token = rig.connect(), rig.bearer("issue")
    for _ in range(40):
        assert client.get(ID, Authorization=token).status == 200
    rig.advance(90_000)
    assert client.get(ID, Authorization=token).status == 401
    assert rig.service.admission.used_tokens() != set()


def test_all_callers_share_a_shared_policy() -> None:
    rig = limited(policies(one("together", 3, "shared = true", 'callers = "all"')))
    clients = [rig.connect((f"203.0.113.{number}", 1)) for number in range(4)]
    for client in clients:
        client.deliver(b"GET " + ID.encode() + b" HTTP/1.1\r\nHost: h\r\n\r\n")
    rig.tick()
    assert [client.answers("GET")[0].status for client in clients] == [200, 200, 200, 429], "in one command"
    assert rig.get(ID, Authorization=rig.bearer("issue")).json["violated-policies"] == ["together"]


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_shadow_policy_refuses_nothing_is_not_told_and_counts(fast_path: bool) -> None:
    found = policies(one("hour", 8), one("tight", 2, "shadow = true", window=20))
    rig = Rig(settings={"policies": found}, fast_path=fast_path)
    client = rig.connect()
    answers = [client.get(ID) for _ in range(6)]
    assert {answer.status for answer in answers} == {200}
    assert answers[-1].headers["ratelimit-policy"] == '"hour";q=8;w=3600'
    assert rig.service.metrics.shadow_refused == {"tight": 4}
    rig.advance(10)
    client.get(ID)
    assert rig.service.metrics.shadow_refused == {"tight": 4}, "it has room again for what it let pass"
    assert [client.get(ID).status for _ in range(3)] == [200, 429, 429]
    assert rig.service.metrics.shadow_refused == {"tight": 5}, "what another policy refuses is not counted"
    assert 'identity_limiter_shadow_refused_total{policy="tight"} 5' in rig.get("/api/metrics").body.decode()
    assert rig.get("/api/telemetry").json["limiter"]["shadow_refused"] == {"tight": 5}


@pytest.mark.parametrize("mode", list(OnFailure))
def test_shadow_policies_alone_refuse_nothing_also_while_the_store_is_away(mode: OnFailure) -> None:
    found = policies(one("a", 1, "shadow = true"), one("b", 2, "shadow = true"))
    rig = Rig(settings={"policies": found, "on_store_failure": mode}, switched=True)
    assert [rig.get(ID).status for _ in range(3)] == [200] * 3
    assert rig.service.metrics.shadow_refused == {"a": 2, "b": 1}
    assert "ratelimit" not in rig.get(ID).headers
    rig.shared.away = True
    assert [rig.get(ID).status for _ in range(3)] == [200] * 3
    assert rig.get("/api/v1/limits").json["policies"] == []


def test_while_the_store_is_away_the_worker_holds_each_policy() -> None:
    rig = Rig(settings={"policies": TWO}, switched=True)
    rig.shared.away = True
    assert [rig.get(ID).status for _ in range(4)] == [200, 200, 200, 429]
    assert rig.get(ID).json["violated-policies"] == ["burst"]
    rig.advance(30)
    assert [rig.get(ID).status for _ in range(3)] == [200, 200, 429]
    assert rig.get(ID).json["violated-policies"] == ["hour"]


@pytest.mark.parametrize(
    ("peer", "charged"),
    [("10.1.2.3", False), ("10.2.0.1", True), ("2001:db8:1:2::9", False), ("2001:db8:9::1", True)],
)
def test_exempt_networks_are_not_charged_and_their_tokens_are(peer: str, charged: bool) -> None:
    exempt = Policies(TWO.policies, exempt=("10.1.0.0/16", "2001:db8:1::/48"))
    rig = Rig(settings={"policies": exempt}, switched=True)
    client = rig.connect((peer, 1))
    statuses = [client.get(ID).status for _ in range(30)]
    assert statuses == ([200] * 3 + [429] * 27 if charged else [200] * 30)
    assert ("ratelimit" in client.get(ID).headers) == charged
    assert (client.get("/api/v1/limits").json["limit"] is not None) == charged
    assert "ratelimit" in client.get(ID, Authorization=rig.bearer("issue")).headers


def test_an_exempt_network_is_served_by_the_revision_and_while_no_other_may_pass() -> None:
    exempt = Policies(TWO.policies, exempt=("203.0.113.0/24",))
    rig = Rig(settings={"policies": exempt, "on_store_failure": OnFailure.CLOSED}, switched=True)
    identity = rig.get(ID).json
    rig.get(ID)
    assert rig.shared.admissions, "the revision is read"
    other = Rig(store=rig.shared)
    revoked = other.post("/api/v1/revoke", {"identity": identity["id"], "token": identity["token"]})
    assert revoked.status == 200
    assert rig.get(ID).json["token"] != identity["token"], "the cached response is dropped"
    rig.shared.away = True
    assert rig.get(ID).status == 200
    assert rig.connect(("198.51.100.1", 1)).get(ID).status == 503


def test_the_limits_tell_all_policies_for_a_caller_and_charge_nothing() -> None:
    rig = limited(
        policies(one("hour", 5), one("checks", 7, 'routes = ["validate"]'), one("t", 1, 'callers = "tokens"'))
    )
    rig.get(ID)
    for _ in range(2):
        answer = rig.get("/api/v1/limits")
        assert answer.json["policy"] == "hour"
        assert {row["policy"]: row["remaining"] for row in answer.json["policies"]} == {"hour": 4, "checks": 7}
        assert remaining(answer) == {"hour": 4, "checks": 7}


def test_other_policies_are_in_force_at_the_next_request_of_a_connection() -> None:
    rig = limited(policies(one("hour", 100)))
    client = rig.connect()
    for _ in range(40):
        client.get(ID)
    assert rig.service.limits is not None
    rig.service.limits.use(policies(one("hour", 50), one("burst", 1, window=60)))
    answer = client.get(ID)
    assert remaining(answer) == {"hour": 29, "burst": 0}, "the cell stays: 40 hits of 36 s are 20 of 72 s"
    assert client.get(ID).status == 429
    rig.service.limits.use(policies(one("hour", 100)))
    assert client.get(ID).status == 200


def test_the_heaviest_callers_count_once_for_each_request() -> None:
    rig = limited(TWO)
    for _ in range(5):
        rig.get(ID)
    metrics = rig.service.metrics
    assert metrics.heaviest.report(0.0).heaviest() == [("203.0.113.9", 5)]
    assert metrics.most_refused.report(0.0).heaviest() == [("203.0.113.9", 2)]


def test_behind_a_proxy_each_client_has_its_cells() -> None:
    rig = limited(TWO, trusted_proxies=["10.0.0.0/8"])
    client = rig.connect(("10.0.0.1", 1))
    for _ in range(40):
        client.get(ID, X_Forwarded_For="198.51.100.1")
    assert [client.get(ID, X_Forwarded_For=f"198.51.100.{number}").status for number in (2, 3, 1)] == [200, 200, 429]


def test_the_cached_clients_and_quotas_are_bounded() -> None:
    limits = RequestLimits(policies(one("rows", 10_000, 'cost = "rows"')), shards=1, clients=16, ignored=lambda _: True)
    for number in range(3 * MAX_CHARGED):
        caller = Client(b"198.51.100.%d" % (number % 256), UNLIMITED)
        limits._client(caller, limits._charges(False, "issue", number + 1, {}))
    assert len(limits._charged) <= MAX_CHARGED
    assert len(limits._clients) <= 2 * 16
