"""``POST /api/v1/validate``: the verdict on identities."""

from collections.abc import Callable
from typing import Any

import pytest

from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.registry.verdict import REASONS, Status
from tests.support.rig import Answer, Rig

PATH = "/api/v1/validate"
ID = "player-1@sports.api.yourbook.com/v1:id"
METADATA = {
    "prefix": "player",
    "run": "1",
    "domain": "sports.api.yourbook.com",
    "version": "v1",
    "type": "disposable-identity",
    "format": "rfc5322-compliant",
}
UNLIMITED = {"quota": None}


def judged(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer
    verdict: dict[str, Any] = answer.json
    return verdict


def nothing(rig: Rig) -> None:
    """The identity was not requested before."""


def issued(rig: Rig) -> None:
    rig.get("/api/v1/id?prefix=player&run=1&ttl=60")


def issued_by_another_worker(rig: Rig) -> None:
    Rig(settings=UNLIMITED, store=rig.shared).get("/api/v1/id?prefix=player&run=1&ttl=60")


def after(seconds: float, arrange: Callable[[Rig], None]) -> Callable[[Rig], None]:
    def arranged(rig: Rig) -> None:
        arrange(rig)
        rig.advance(seconds)

    return arranged


def away(arrange: Callable[[Rig], None]) -> Callable[[Rig], None]:
    def arranged(rig: Rig) -> None:
        arrange(rig)
        rig.shared.away = True

    return arranged


def away_before(arrange: Callable[[Rig], None]) -> Callable[[Rig], None]:
    def arranged(rig: Rig) -> None:
        rig.shared.away = True
        arrange(rig)

    return arranged


# What has happened, the status, whether a record was found. A record outlives its expiry by 300 s.
STATES = [
    (nothing, "unknown", False),
    (issued, "active", True),
    (issued_by_another_worker, "active", True),
    (after(59.999, issued), "active", True),
    (after(60, issued), "expired", True),
    (after(359.999, issued), "expired", True),
    (after(360, issued), "unknown", False),
    (away(nothing), "unverifiable", False),
    (away(issued), "active", True),
    (away(after(60, issued)), "unverifiable", False),
    (away(issued_by_another_worker), "unverifiable", False),
    (away_before(issued), "active", True),
    (away_before(after(60, issued)), "unverifiable", False),
]


@pytest.mark.parametrize(("arrange", "status", "found"), STATES)
def test_the_verdict_follows_from_what_is_known_now(arrange: Callable[[Rig], None], status: str, found: bool) -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    arrange(rig)
    single = judged(rig.post(PATH, {"identity": ID}))
    assert single == {
        "identity": ID,
        "valid": status == "active",
        "status": status,
        "reason": REASONS[Status(status)],
        "well_formed": True,
        "rfc5322_compliant": True,
        "metadata": METADATA,
        "cached": found and status != "expired",
        "generated": "2025-11-22T10:00:00.000Z" if found else None,
        "expires": "2025-11-22T10:01:00.000Z" if found else None,
        "validated": single["validated"],
    }
    assert single["validated"].startswith("2025-11-22T10:0")
    assert judged(rig.post(PATH, {"identities": [ID]})) == {"results": [single], "total": 1}


def test_a_renewed_identity_is_active_by_its_new_life() -> None:
    rig = Rig()
    issued(rig)
    rig.advance(50)
    issued(rig)
    rig.advance(20)
    verdict = judged(rig.post(PATH, {"identity": ID}))
    assert (verdict["status"], verdict["generated"]) == ("active", "2025-11-22T10:00:50.000Z")


@pytest.mark.parametrize("text", [ID.upper().replace("/V1:ID", "/v1:id").replace("PLAYER", "player"), ID])
def test_the_case_of_the_domain_makes_no_difference(text: str) -> None:
    rig = Rig()
    issued(rig)
    verdict = judged(rig.post(PATH, {"identity": text}))
    assert (verdict["status"], verdict["identity"], verdict["metadata"]) == ("active", text, METADATA)


MALFORMED = [
    *("", " ", "player-1", "player@x.example/v1:id", "player-1@x.example", "player-1@x.example/v1", f"{ID}\n"),
    *(f" {ID}", f"{ID}:id", ID.replace("1@", "\u0661@"), ID.replace("v1", "v\u0661"), 'a-"@x/v1:id', "a-1@/v1:id"),
    *("af:{0}:c:203.0.113.9", "*", "a-1@b@c/v1:id", "a-1@[127.0.0.1]/v1:id", "x" * 100_000, "a-1@k\u212a.x/v1:id"),
    *("a-\r\nDEL x@b/v1:id", "a-\0@b/v1:id", "a-1@b/v1:id\u2028", "\U0001f600"),
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: repr(text[:24]))
def test_a_malformed_identity_is_an_answer_and_reads_no_key(text: str) -> None:
    rig = Rig(switched=True)
    verdict = judged(rig.post(PATH, {"identity": text}))
    reason = verdict.pop("reason")
    assert reason.endswith(".")
    assert verdict == {
        "identity": text,
        "valid": False,
        "status": "malformed",
        "well_formed": False,
        "rfc5322_compliant": False,
        "metadata": None,
        "cached": False,
        "generated": None,
        "expires": None,
        "validated": "2025-11-22T10:00:00.000Z",
    }
    assert rig.shared.finds == []


def test_a_list_is_answered_in_its_order_by_one_look_up() -> None:
    rig = Rig(switched=True)
    issued(rig)
    issued_by_another_worker(rig)
    other = ID.replace("player", "other")
    rig.get("/api/v1/id?prefix=other&run=1")
    rig.service.identities.invalidate(None)
    answer = judged(rig.post(PATH, {"identities": ["bad", ID, "worse", ID.replace("-1", "-2"), other, ID]}))
    states = [(each["status"], each["identity"]) for each in answer["results"]]
    assert states == [
        ("malformed", "bad"),
        ("active", ID),
        ("malformed", "worse"),
        ("unknown", ID.replace("-1", "-2")),
        ("active", other),
        ("active", ID),
    ]
    assert answer["total"] == 6
    assert rig.shared.finds == [[ID, ID.replace("-1", "-2"), other, ID]]


@pytest.mark.parametrize("count", [1, MAX_ROWS])
def test_a_list_has_up_to_a_thousand_identities(count: int) -> None:
    assert judged(Rig().post(PATH, {"identities": [ID] * count}))["total"] == count


BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({}, [""]),
    ({"identity": ID, "identities": [ID]}, [""]),
    ({"identity": None}, ["/identity"]),
    ({"identity": 1}, ["/identity"]),
    ({"identity": [ID]}, ["/identity"]),
    ({"identities": ID}, ["/identities"]),
    ({"identities": []}, ["/identities"]),
    ({"identities": [ID] * (MAX_ROWS + 1)}, ["/identities"]),
    ({"identities": [ID, None, 3, ID, {}]}, ["/identities/1", "/identities/2", "/identities/4"]),
    ({"identity": ID, "id": ID}, ["/id"]),
]


@pytest.mark.parametrize(("body", "pointers"), BAD)
def test_a_body_of_the_wrong_shape_is_a_400_that_names_what_is_wrong(body: dict[str, Any], pointers: list[str]) -> None:
    answer = Rig().post(PATH, body)
    assert answer.status == 400
    assert [fault["pointer"] for fault in answer.json["errors"]] == pointers


def test_a_look_up_that_finds_a_life_is_a_hit_and_any_other_is_none() -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    issued_by_another_worker(rig)
    metrics = rig.service.metrics
    rig.post(PATH, {"identity": ID})  # found in the store
    rig.post(PATH, {"identity": ID.replace("-1", "-2")})
    rig.post(PATH, {"identity": "malformed"})
    assert (metrics.identity_lookups, metrics.identity_lookup_hits) == (2, 1)
    issued(rig)  # found by issuing, remembered
    rig.post(PATH, {"identity": ID})
    assert (metrics.identity_lookups, metrics.identity_lookup_hits) == (4, 3)
    rig.advance(61)
    rig.post(PATH, {"identity": ID})
    assert (metrics.identity_lookups, metrics.identity_lookup_hits) == (5, 3)
