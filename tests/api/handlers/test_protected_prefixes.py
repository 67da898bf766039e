"""``PROTECTED_PREFIXES``: only callers whose token has the scope ``issue`` get identities of these prefixes."""

from typing import Any

import pytest

from tests.support.rig import Rig, request

BATCH = "/api/v1/identities"
SETTINGS: dict[str, Any] = {"protected_prefixes": frozenset({"player", "prod"})}
PROTECTED = ["player", "Player", "PLAYER", "prod", "pRoD"]
FREE = ["players", "play", "player_", "_player", "pla.yer", "unknown", "dev"]


def target(prefix: str, run: str | None = "1") -> str:
    return f"/api/v1/id?prefix={prefix}" + (f"&run={run}" if run else "")


def batch(*prefixes: str | None) -> dict[str, object]:
    return {
        "environments": [
            {"name": "a", "run": f"{index}"} | ({"prefix": prefix} if prefix else {})
            for index, prefix in enumerate(prefixes)
        ]
    }


@pytest.mark.parametrize("prefix", PROTECTED)
@pytest.mark.parametrize("run", ["1", None])
def test_a_protected_prefix_needs_the_scope_however_it_is_written(prefix: str, run: str | None) -> None:
    rig = Rig(settings=SETTINGS)
    assert rig.get(target(prefix, run)).status == 401
    assert rig.connect().get(target(prefix, run), method="HEAD").status == 401
    assert rig.get(target(prefix, run), Authorization=rig.bearer("revoke", "audit")).status == 403
    assert rig.post(BATCH, batch("dev", prefix)).status == 401
    assert rig.post(BATCH, batch("dev", prefix), Authorization=rig.bearer()).status == 403
    assert rig.service.metrics.identity_issued == 0, "nothing was issued, not even the others of the batch"
    answer = rig.get(target(prefix, run), Authorization=rig.bearer("issue"))
    assert (answer.status, answer.json["metadata"]["prefix"]) == (200, prefix)
    assert rig.post(BATCH, batch("dev", prefix), Authorization=rig.bearer("issue")).status == 200


@pytest.mark.parametrize("prefix", FREE)
def test_every_other_prefix_is_for_everybody(prefix: str) -> None:
    rig = Rig(settings=SETTINGS)
    assert rig.get(target(prefix)).status == 200
    assert rig.post(BATCH, batch(prefix, None)).status == 200


def test_the_default_prefix_can_be_protected_too() -> None:
    rig = Rig(settings={"protected_prefixes": frozenset({"unknown"})})
    assert rig.get("/api/v1/id?run=1").status == rig.get("/api/v1/id").status == 401
    assert rig.post(BATCH, batch(None)).status == 401


def test_a_fault_is_told_before_a_scope_is_asked_for() -> None:
    assert Rig(settings=SETTINGS).get(f"{target('player')}&ttl=0").status == 400


@pytest.mark.parametrize("path", ["/api/v1/id", "/api/v1/%69d"])
@pytest.mark.parametrize("query", ["prefix=%70layer&run=1", "prefix=PL%41YER&run=1", "run=1&prefix=player"])
def test_spelling_it_otherwise_does_not_get_around_it(path: str, query: str) -> None:
    assert Rig(settings=SETTINGS).get(f"{path}?{query}").status == 401


@pytest.mark.parametrize("quota", [None, "default"])
@pytest.mark.parametrize("prefix", PROTECTED)
def test_an_answer_prepared_for_who_may_is_not_given_to_who_may_not(prefix: str, quota: str | None) -> None:
    rig = Rig(settings={**SETTINGS, **({"quota": None} if quota is None else {})})
    mine, other = rig.bearer("issue"), rig.bearer("audit", subject="bot")
    recognized = rig.recognized()
    client = rig.connect()
    for _ in range(3):
        assert client.get(target(prefix), Authorization=mine).status == 200
    before = len(recognized)
    for again in (client, rig.connect()):
        assert again.get(target(prefix)).status == 401
        assert again.get(target(prefix)).status == 401
        assert again.get(target(prefix), Authorization=other).status == 403
        assert again.get(target(prefix), Authorization=other).status == 403
    assert len(recognized) == before
    assert [client.get(target(prefix), Authorization=mine).status for _ in range(3)] == [200] * 3
    assert len(recognized) == before + 2, "the first one is parsed: two other kinds came between"


def test_requests_of_one_packet_are_judged_one_by_one() -> None:
    rig = Rig(settings=SETTINGS)
    client = rig.connect()
    mine = {"Authorization": rig.bearer("issue")}
    client.get(target("player"), **mine)
    client.send(
        request("GET", target("player"), **mine)
        + request("GET", target("player"))
        + request("GET", target("player"), **mine)
        + request("GET", target("dev"))
    )
    assert [answer.status for answer in client.answers(*["GET"] * 4)] == [200, 401, 200, 200]


def test_everybody_may_validate_a_protected_identity() -> None:
    rig = Rig(settings=SETTINGS)
    identity = rig.get(target("player"), Authorization=rig.bearer("issue")).json["id"]
    assert rig.post("/api/v1/validate", {"identity": identity}).json["valid"] is True
