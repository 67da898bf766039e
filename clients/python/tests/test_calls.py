"""Each call sends what the API takes, and reads what it answers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from scripted import IDENTITY, Scripted, ok

from arsenal_identity import Client, Environment, Limits, RevokedBefore, RevokedIdentity

ID = IDENTITY["id"]
GENERATED = datetime(2026, 11, 22, 10, tzinfo=UTC)
VERDICT: dict[str, Any] = {
    "identity": ID,
    "valid": True,
    "status": "active",
    "reason": "It lives.",
    "well_formed": True,
    "rfc5322_compliant": True,
    "metadata": {**IDENTITY["metadata"], "format": "rfc5322-compliant"},
    "cached": True,
    "generated": "2026-11-22T10:00:00.000Z",
    "expires": "2026-11-22T11:00:00.000Z",
    "validated": "2026-11-22T10:15:00.000Z",
}
UNKNOWN = {**VERDICT, "valid": False, "status": "malformed", "metadata": None, "generated": None, "expires": None}
REVOKED = {"identity": ID, "status": "revoked", "already": True, "generated": "2026-11-22T10:00:00.000Z"}
BATCH = {
    "identities": [{"environment": "prod", **{k: v for k, v in IDENTITY.items() if k != "metadata"}}],
    "total": 1,
    "domain": "sports.api.yourbook.com",
    "version": "v1",
    "ttl": 60,
    "generated": "2026-11-22T10:00:00.000Z",
}


def test_issue_sends_what_is_given_and_reads_the_identity() -> None:
    scripted = Scripted(ok(IDENTITY), ok(IDENTITY))
    identity = scripted.client.issue("player", "a b&c", ttl_s=60, domain="a.b", version="v2")
    assert dict(scripted.requests[0].url.params) == {
        "prefix": "player",
        "run": "a b&c",
        "ttl": "60",
        "domain": "a.b",
        "version": "v2",
    }
    assert (identity.id, identity.ttl_s, identity.token) == (ID, 3600, "a.b.c")
    assert (identity.generated, identity.expires - identity.generated) == (GENERATED, timedelta(hours=1))
    assert (identity.metadata.prefix, identity.metadata.run) == ("player", "123456")
    scripted.client.issue()
    assert str(scripted.requests[1].url) == "http://identity.test/api/v1/id"


def test_batch_sends_no_member_that_is_not_given() -> None:
    scripted = Scripted(ok(BATCH))
    batch = scripted.client.batch([Environment("prod", "player", "123456"), Environment("new")], ttl_s=60)
    rows = [{"name": "prod", "prefix": "player", "run": "123456"}, {"name": "new"}]
    assert scripted.body() == {"environments": rows, "ttl": 60}
    assert (batch.identities[0].environment, batch.identities[0].id, batch.ttl_s) == ("prod", ID, 60)


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ({"identity": ID}, {"identity": ID}),
        ({"token": "a.b.c"}, {"token": "a.b.c"}),
        ({"identity": ID, "token": "a.b.c"}, {"identity": ID, "token": "a.b.c"}),
    ],
)
def test_validate_sends_an_identity_a_token_or_both(given: dict[str, str], body: dict[str, str]) -> None:
    scripted = Scripted(ok(VERDICT))
    verdict = scripted.client.validate(**given)
    assert scripted.body() == body
    assert (verdict.valid, verdict.status, verdict.generated) == (True, "active", GENERATED)
    assert verdict.metadata is not None
    assert verdict.metadata.run == "123456"


def test_validate_of_nothing_sends_nothing() -> None:
    scripted = Scripted()
    with pytest.raises(ValueError, match="an identity, a token, or both"):
        scripted.client.validate()
    assert scripted.requests == []


def test_validate_many_gives_the_verdicts_in_order() -> None:
    scripted = Scripted(ok({"results": [VERDICT, UNKNOWN], "total": 2}))
    verdicts = scripted.client.validate_many([ID, "nonsense"])
    assert scripted.body() == {"identities": [ID, "nonsense"]}
    assert [verdict.valid for verdict in verdicts] == [True, False]
    assert (verdicts[1].metadata, verdicts[1].generated, verdicts[1].expires) == (None, None, None)


def test_revoke_sends_the_token_where_it_has_one() -> None:
    scripted = Scripted(*(ok({**REVOKED, "revoked": "2026-11-22T10:20:00.000Z"}) for _ in range(2)))
    revoked = scripted.client.revoke(ID, token="a.b.c")
    assert scripted.body() == {"identity": ID, "token": "a.b.c"}
    assert revoked == RevokedIdentity(ID, True, GENERATED, GENERATED + timedelta(minutes=20))
    scripted.client.revoke(ID)
    assert scripted.body() == {"identity": ID}


@pytest.mark.parametrize("prefix", ["player", None])
def test_revoke_before_sends_the_moment_with_its_offset(prefix: str | None) -> None:
    answer = {"prefix": prefix, "status": "revoked", "issued_before": "2026-11-22T10:00:00.000Z"}
    scripted = Scripted(ok(answer))
    assert scripted.client.revoke_before(GENERATED, prefix=prefix) == RevokedBefore(prefix, GENERATED)
    named = {} if prefix is None else {"prefix": prefix}
    assert scripted.body() == {**named, "issued_before": "2026-11-22T10:00:00+00:00"}


def test_revoke_before_a_moment_without_a_zone_sends_nothing() -> None:
    scripted = Scripted()
    with pytest.raises(ValueError, match="time zone"):
        scripted.client.revoke_before(datetime(2026, 11, 22))
    assert scripted.requests == []


def test_limits_are_read_also_where_there_is_none() -> None:
    limited = {"client": "::1", "policy": "default", "limit": 100, "window": 3600, "remaining": 9, "reset": 36}
    free = {"client": "::1", "policy": None, "limit": None, "window": None, "remaining": None, "reset": 0}
    scripted = Scripted(ok(limited), ok(free))
    assert scripted.client.limits() == Limits("::1", "default", 100, 3600, 9, 36)
    assert scripted.client.limits() == Limits("::1", None, None, None, None, 0)


def test_a_service_token_goes_with_every_request_and_into_no_text() -> None:
    scripted = Scripted(ok(IDENTITY), token="secret.of.mine")
    scripted.client.issue("player", "1")
    assert scripted.requests[0].headers["Authorization"] == "Bearer secret.of.mine"
    assert "secret" not in repr(scripted.client)


@pytest.mark.parametrize("url", ["identity.api.yourbook.com", "ftp://identity", ""])
def test_a_url_that_is_not_of_http_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Client(url)


@pytest.mark.parametrize("token", ["secret.of.mine\n", "secret of mine", "", "sécret"])
def test_a_token_that_no_header_can_have_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="token must be one word") as refused:
        Client("http://identity.test", token=token)
    assert "cret" not in str(refused.value)


CALLS: list[tuple[Callable[[Scripted], Any], Callable[[Scripted], Any], object]] = [
    (lambda s: s.client.issue("player", "1"), lambda s: s.async_client.issue("player", "1"), IDENTITY),
    (lambda s: s.client.batch([Environment("a")]), lambda s: s.async_client.batch([Environment("a")]), BATCH),
    (lambda s: s.client.validate(ID), lambda s: s.async_client.validate(ID), VERDICT),
    (
        lambda s: s.client.validate_many([ID]),
        lambda s: s.async_client.validate_many([ID]),
        {"results": [VERDICT], "total": 1},
    ),
    (
        lambda s: s.client.revoke(ID),
        lambda s: s.async_client.revoke(ID),
        {**REVOKED, "revoked": "2026-11-22T10:20:00.000Z"},
    ),
    (
        lambda s: s.client.revoke_before(GENERATED),
        lambda s: s.async_client.revoke_before(GENERATED),
        {"prefix": None, "issued_before": "2026-11-22T10:00:00.000Z"},
    ),
]


@pytest.mark.parametrize(("sync", "awaited", "document"), CALLS)
def test_the_async_client_sends_and_reads_the_same(
    sync: Callable[[Scripted], Any], awaited: Callable[[Scripted], Any], document: object
) -> None:
    import asyncio

    one, other = Scripted(ok(document)), Scripted(httpx.ConnectError("refused"), ok(document))
    assert sync(one) == asyncio.run(awaited(other))
    first, second = one.requests[0], other.requests[-1]
    assert (first.method, first.url, first.content) == (second.method, second.url, second.content)
    assert other.waits == [0.2]
