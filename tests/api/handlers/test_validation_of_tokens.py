"""``POST /api/v1/validate`` with a token, alone or together with its identity."""

from collections.abc import Callable
from typing import Any

import pytest

from arsenal_fast.identity.validity import Life
from arsenal_fast.registry.verdict import REASONS, Status
from arsenal_fast.tokens.claims import Refusal
from tests.support.replicas import Replicas
from tests.support.rig import KEYS, START, Rig
from tests.support.tokens import eddsa_keys, hs256_keys

PATH = "/api/v1/validate"
TARGET = "/api/v1/id?prefix=player&run=1&ttl=60"
ID = "player-1@sports.api.yourbook.com/v1:id"
OTHER = "other-1@sports.api.yourbook.com/v1:id"
UNLIMITED = {"quota": None}
NOW = round(START * 1000)

OVER = "The token has expired."
ANOTHER = "The token is of another identity."
ALONE = "The token is of this service and has not expired; the shared state can't be read just now."
NO_RECORD = "The token is of this service, but there is no record of the identity to check it with."


def token_of(identity: str = ID, begin: float = 0, ttl: int = 60) -> str:
    """The token of a life that begins ``begin`` seconds after the start."""
    generated = NOW + round(begin * 1000)
    return KEYS.sign_identity(identity, Life(generated, generated + ttl * 1000))


# What happens before, each to a fresh worker.


def nothing(rig: Rig) -> None:
    """The identity was not requested before."""


def issued(rig: Rig) -> None:
    rig.get(TARGET)


def renewed(rig: Rig) -> None:
    """A second life began after 50 s; the token of the first one is good for another 9 s."""
    rig.get(TARGET)
    rig.advance(50)
    rig.get(TARGET)
    rig.advance(1)


def renewed_long_ago(rig: Rig) -> None:
    renewed(rig)
    rig.advance(10)


def over(rig: Rig) -> None:
    rig.get(TARGET)
    rig.advance(60)


def revoked(rig: Rig) -> None:
    rig.get(TARGET)
    rig.advance(1)
    rig.post("/api/v1/revoke", {"identity": ID}, Authorization=rig.bearer("revoke"))


def revoked_and_issued_again(rig: Rig) -> None:
    revoked(rig)
    rig.get(TARGET)


def revoked_by_epoch_and_issued_again(rig: Rig) -> None:
    rig.get(TARGET)
    rig.advance(1)
    body = {"prefix": "player", "issued_before": "2025-11-22T10:00:00.500Z"}
    rig.post("/api/v1/revoke", body, Authorization=rig.bearer("revoke"))
    rig.get(TARGET)


def by_another_worker(arrange: Callable[[Rig], None]) -> Callable[[Rig], None]:
    """The worker that validates has cached nothing."""

    def arranged(rig: Rig) -> None:
        other = Rig(settings=UNLIMITED, store=rig.shared)
        arrange(other)
        rig.advance(other.wall - rig.wall)

    return arranged


def away(arrange: Callable[[Rig], None]) -> Callable[[Rig], None]:
    """Then the store goes away."""

    def arranged(rig: Rig) -> None:
        arrange(rig)
        rig.shared.away = True

    return arranged


FIRST, SECOND = token_of(), token_of(begin=50)
AGAIN = token_of(begin=1.001)
AGAIN_BY_EPOCH = token_of(begin=1)

# What has happened, the token that comes, the status, and a reason other than the status's own.
CASES: list[tuple[Callable[[Rig], None], str, str, str | None]] = [
    (issued, FIRST, "active", None),
    (nothing, FIRST, "unverifiable", NO_RECORD),
    (over, FIRST, "expired", OVER),
    (renewed, FIRST, "active", None),
    (renewed, SECOND, "active", None),
    (renewed_long_ago, FIRST, "expired", OVER),
    (renewed_long_ago, SECOND, "active", None),
    (revoked, FIRST, "revoked", None),
    (revoked_and_issued_again, FIRST, "revoked", None),
    (revoked_and_issued_again, AGAIN, "active", None),
    (revoked_by_epoch_and_issued_again, FIRST, "revoked", None),
    (revoked_by_epoch_and_issued_again, AGAIN_BY_EPOCH, "active", None),
    (by_another_worker(issued), FIRST, "active", None),
    (by_another_worker(renewed), FIRST, "active", None),
    (by_another_worker(over), FIRST, "expired", OVER),
    (by_another_worker(revoked), FIRST, "revoked", None),
    (by_another_worker(revoked_and_issued_again), FIRST, "revoked", None),
    (by_another_worker(revoked_and_issued_again), AGAIN, "active", None),
    (by_another_worker(revoked_by_epoch_and_issued_again), FIRST, "revoked", None),
    (away(nothing), FIRST, "active", ALONE),
    (away(issued), FIRST, "active", None),
    (away(over), FIRST, "expired", OVER),
    (away(renewed), FIRST, "active", ALONE),
    (away(renewed), SECOND, "active", None),
    (away(by_another_worker(issued)), FIRST, "active", ALONE),
    (away(revoked_by_epoch_and_issued_again), FIRST, "revoked", None),
]


@pytest.mark.parametrize("both", [True, False], ids=["with the identity", "alone"])
@pytest.mark.parametrize(("arrange", "token", "status", "reason"), CASES)
def test_a_token_is_judged_by_what_is_known_of_its_life(
    arrange: Callable[[Rig], None], token: str, status: str, reason: str | None, both: bool
) -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    arrange(rig)
    answer = rig.post(PATH, {"token": token} | ({"identity": ID} if both else {}))
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    verdict = answer.json
    assert (verdict["status"], verdict["valid"]) == (status, status == "active")
    assert verdict["reason"] == (reason or REASONS[Status(status)])
    assert (verdict["identity"], verdict["well_formed"], verdict["metadata"]["prefix"]) == (ID, True, "player")


# Invalid tokens, for any state of the identity.
BAD: list[tuple[str, str]] = [
    ("", Refusal.MALFORMED.sentence),
    ("nonsense", Refusal.MALFORMED.sentence),
    ("\r\n\0\ud83d\ude00", Refusal.MALFORMED.sentence),
    ("x" * 100_000, Refusal.OVERSIZED.sentence),
    (FIRST[:-43] + token_of(OTHER)[-43:], Refusal.SIGNATURE.sentence),
    (hs256_keys(issuer=KEYS.issuer).sign_identity(ID, Life(NOW, NOW + 60_000)), Refusal.SIGNATURE.sentence),
    (eddsa_keys().sign_identity(ID, Life(NOW, NOW + 60_000)), Refusal.ALGORITHM.sentence),
    (KEYS.mint_service("bot", ["issue"], 10, 1, START), Refusal.AUDIENCE.sentence),
    (token_of(begin=120), Refusal.FUTURE.sentence),
]


@pytest.mark.parametrize("arrange", [nothing, issued, revoked, away(nothing), away(issued)])
@pytest.mark.parametrize(("token", "sentence"), BAD)
def test_a_bad_token_makes_the_whole_of_it_malformed(token: str, sentence: str, arrange: Callable[[Rig], None]) -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    arrange(rig)
    verdict = rig.post(PATH, {"identity": ID, "token": token}).json
    assert (verdict["valid"], verdict["status"], verdict["reason"]) == (False, "malformed", sentence)
    assert (verdict["identity"], verdict["well_formed"]) == (ID, True)


@pytest.mark.parametrize(("token", "sentence"), BAD)
def test_a_bad_token_alone_is_of_no_identity_and_reads_no_key(token: str, sentence: str) -> None:
    rig = Rig(switched=True)
    issued(rig)
    verdict = rig.post(PATH, {"token": token}).json
    assert {**verdict, "validated": None} == {
        "identity": None,
        "valid": False,
        "status": "malformed",
        "reason": sentence,
        "well_formed": False,
        "rfc5322_compliant": False,
        "metadata": None,
        "cached": False,
        "generated": None,
        "expires": None,
        "validated": None,
    }
    assert rig.shared.finds == []


def test_the_token_of_another_identity_is_no_proof() -> None:
    rig = Rig(settings=UNLIMITED)
    issued(rig)
    other = rig.get("/api/v1/id?prefix=other&run=1").json
    verdict = rig.post(PATH, {"identity": ID, "token": other["token"]}).json
    assert (verdict["valid"], verdict["status"], verdict["reason"]) == (False, "malformed", ANOTHER)


@pytest.mark.parametrize("identity", ["", " ", "player-1", f"{ID}\n"])
def test_a_good_token_makes_no_identity_of_what_is_none(identity: str) -> None:
    rig = Rig()
    issued(rig)
    verdict = rig.post(PATH, {"identity": identity, "token": FIRST}).json
    assert (verdict["valid"], verdict["status"], verdict["identity"]) == (False, "malformed", identity)
    assert (verdict["well_formed"], verdict["metadata"]) == (False, None)


def test_the_case_of_the_domain_makes_no_difference() -> None:
    rig = Rig()
    issued(rig)
    verdict = rig.post(PATH, {"identity": ID.replace("sports", "SPORTS"), "token": FIRST}).json
    assert (verdict["valid"], verdict["metadata"]["domain"]) == (True, "sports.api.yourbook.com")


SHAPES: list[tuple[dict[str, Any], list[str]]] = [
    ({"token": None}, ["/token"]),
    ({"token": 1, "identity": []}, ["/identity", "/token"]),
    ({"token": FIRST, "identities": [ID]}, ["/identities"]),
    ({"token": FIRST, "identity": ID, "identities": [ID]}, ["/identities"]),
    ({"tokens": [FIRST]}, ["/tokens"]),
]


@pytest.mark.parametrize(("body", "pointers"), SHAPES)
def test_a_body_of_the_wrong_shape_is_a_400_that_names_what_is_wrong(body: dict[str, Any], pointers: list[str]) -> None:
    answer = Rig().post(PATH, body)
    assert answer.status == 400
    assert [fault["pointer"] for fault in answer.json["errors"]] == pointers


def test_the_token_of_the_remembered_life_is_answered_from_memory() -> None:
    rig = Rig(settings=UNLIMITED, switched=True)
    issued(rig)
    issued(rig)  # by now the store counts revisions
    verdict = rig.post(PATH, {"identity": ID, "token": FIRST}).json
    assert (verdict["valid"], verdict["cached"], verdict["generated"]) == (True, True, "2025-11-22T10:00:00.000Z")
    assert rig.shared.finds == []


def test_a_token_of_ed25519_is_judged_as_any() -> None:
    rig = Rig(settings=UNLIMITED)
    rig.service.keys = keys = eddsa_keys()
    issued(rig)
    token = keys.sign_identity(ID, Life(NOW, NOW + 60_000))
    assert rig.post(PATH, {"token": token}).json["status"] == "active"
    assert rig.post(PATH, {"token": FIRST}).json["reason"] == Refusal.SIGNATURE.sentence


# The store has lost its memory; the ledger has not.


@pytest.mark.parametrize("again", ["get", "validate"])
@pytest.mark.parametrize("worker", [0, 1])
def test_the_token_of_a_revoked_life_stays_dead_when_the_store_has_forgotten_the_revocation(
    worker: int, again: str
) -> None:
    replicas = Replicas(ledger=True, settings=UNLIMITED)
    first = replicas.rigs[0]
    revoked_and_issued_again(first)
    for rig in replicas.rigs[1:]:
        rig.advance(1)
    replicas.flush()
    asked = replicas.rigs[worker]
    for _ in range(3):
        if again == "get":
            assert asked.get(TARGET).json["token"] == AGAIN
        else:
            assert asked.post(PATH, {"identity": ID}).json["valid"] is True
        verdicts = [asked.post(PATH, {"token": token}).json["status"] for token in (FIRST, AGAIN)]
        assert verdicts == ["revoked", "active"]
    replicas.ledgers[worker].away = True
    assert asked.post(PATH, {"token": AGAIN}).json["status"] == "active"


def test_the_ledger_is_not_asked_for_the_token_of_the_life_that_the_store_knows() -> None:
    replicas = Replicas(ledger=True, settings=UNLIMITED)
    first, second = replicas.rigs
    issued(first)
    assert second.post(PATH, {"token": FIRST}).json["status"] == "active"
    assert [ledger.finds for ledger in replicas.ledgers] == [[], []]
