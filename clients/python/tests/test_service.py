"""The clients against the running service."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.service import REPLICA, ServiceProcess

from arsenal_identity import (
    NO_RETRY,
    AsyncClient,
    Client,
    Environment,
    ForbiddenError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    RateLimitedError,
    TokenError,
    UnauthorizedError,
)

pytestmark = pytest.mark.integration

PLAYER = "player-123456@sports.api.yourbook.com/v1:id"


def test_an_identity_is_issued_validated_checked_offline_and_revoked(service: ServiceProcess) -> None:
    with Client(service.url, issuer=REPLICA["API_BASE_URL"]) as client:
        identity = client.issue("player", run="123456")
        assert identity.id == PLAYER
        assert identity.expires - identity.generated == timedelta(hours=1)
        assert client.issue("player", run="123456") == identity
        assert client.validate(PLAYER).valid
        assert client.validate(token=identity.token).identity == PLAYER
        claims = client.check_token(identity.token)
        assert (claims.identity, claims.generated) == (PLAYER, identity.generated)
        assert identity.expires - claims.expires < timedelta(seconds=1)
        revoked = client.revoke(PLAYER, token=identity.token)
        assert (revoked.identity, revoked.already) == (PLAYER, False)
        assert client.revoke(PLAYER, token=identity.token).already
        assert client.validate(PLAYER).status == "revoked"


def test_a_batch_has_the_guides_identity_and_a_drawn_one(service: ServiceProcess) -> None:
    with Client(service.url) as client:
        rows = [Environment("prod", "player", "batch"), Environment("new", "ci")]
        batch = client.batch(rows, domain="Sports.API.yourbook.com", version="v1", ttl_s=60)
        assert [row.environment for row in batch.identities] == ["prod", "new"]
        assert (batch.identities[0].id, batch.ttl_s) == ("player-batch@sports.api.yourbook.com/v1:id", 60)
        verdicts = client.validate_many([*(row.id for row in batch.identities), "nonsense"])
        assert [verdict.status for verdict in verdicts] == ["active", "active", "malformed"]


def test_a_service_token_has_a_limit_of_its_own_and_rights(service: ServiceProcess, service_token: str) -> None:
    with Client(service.url, token=service_token) as client, Client(service.url) as anonymous:
        assert client.limits().client == "sub:python-client"
        assert client.limits().limit == 100_000
        issued = client.issue("own", run="1")
        with pytest.raises(UnauthorizedError):
            anonymous.revoke(issued.id)
        before = client.revoke_before(issued.generated + timedelta(milliseconds=1), prefix="own")
        assert before.prefix == "own"
        assert client.validate(issued.id).status == "revoked"


def test_refusals_are_typed(service: ServiceProcess, service_token: str) -> None:
    with Client(service.url, token=service_token) as client:
        with pytest.raises(InvalidRequestError) as refused:
            client.issue("a-b", ttl_s=0)
        assert {fault.parameter for fault in refused.value.faults} == {"prefix", "ttl"}
        with pytest.raises(NotFoundError):
            client.revoke("nobody-1@sports.api.yourbook.com/v1:id")
        identity, other = client.issue("one", run="1"), client.issue("one", run="2")
        with pytest.raises(ForbiddenError), Client(service.url) as anonymous:
            anonymous.revoke(identity.id, token=other.token)
        with pytest.raises(InvalidRequestError):
            client.revoke_before(datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(UnauthorizedError), Client(service.url, token="nonsense") as client:
        client.limits()
    with pytest.raises(TokenError), Client(service.url) as client:  # the issuer is another
        client.check_token(identity.token)


def test_a_used_up_limit_fails_at_once_where_its_wait_is_long() -> None:
    with ServiceProcess(RATE_LIMIT_REQUESTS="1") as service, Client(service.url) as client:
        client.issue("player", run="1")
        with pytest.raises(RateLimitedError) as limited:
            client.issue("player", run="1")
        assert limited.value.retry_after_s is not None
        assert limited.value.retry_after_s > 3000
        assert client.limits().remaining == 0


def test_a_service_that_is_away_is_named() -> None:
    with pytest.raises(NoAnswerError), Client("http://127.0.0.1:1", retry=NO_RETRY) as client:
        client.limits()


def test_the_async_client_does_the_same(service: ServiceProcess) -> None:
    async def work() -> None:
        async with AsyncClient(service.url, issuer=REPLICA["API_BASE_URL"]) as client:
            identities = await asyncio.gather(*(client.issue("async", run=str(number)) for number in range(10)))
            assert len({identity.id for identity in identities}) == 10
            one = identities[0]
            assert (await client.check_token(one.token)).identity == one.id
            assert (await client.validate(one.id, token=one.token)).valid
            assert not (await client.revoke(one.id, token=one.token)).already
            batch = await client.batch([Environment("a", "async", "1")])
            assert batch.identities[0].token == identities[1].token
            assert [each.valid for each in await client.validate_many([one.id])] == [False]
            assert (await client.limits()).policy == "default"
            with pytest.raises(UnauthorizedError):
                await client.revoke_before(datetime.now(UTC))

    asyncio.run(work())


def test_both_clients_have_the_same_calls() -> None:
    def calls(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")} - {"close", "aclose"}

    assert calls(Client) == calls(AsyncClient)
    for name in calls(Client):
        assert getattr(Client, name).__doc__ == getattr(AsyncClient, name).__doc__, name
