"""The guide's calls with the client of openapi-python-client: compiled by mypy, then run against the service."""

import sys

from generated import AuthenticatedClient
from generated.api.identities import issue_batch, issue_one, limits, revoke, validate
from generated.api.operations import health, telemetry
from generated.models import (
    Batch,
    BatchRequest,
    Environment,
    Health,
    Identity,
    Limits,
    RevokedIdentity,
    RevokeIdentityByToken,
    Telemetry,
    ValidateIdentity,
    Verdict,
    Verdicts,
)
from generated.models.validate_identities import ValidateIdentities


def call(client: AuthenticatedClient) -> None:
    """Each call of the guide, and a revocation by the identity's own token."""
    identity = issue_one.sync(client=client, prefix="player", run="123456")
    assert isinstance(identity, Identity), identity
    assert identity.id == "player-123456@sports.api.yourbook.com/v1:id"
    body = BatchRequest([Environment("prod", prefix="player", run="123456"), Environment("new")], version="v1")
    batch = issue_batch.sync(client=client, body=body)
    assert isinstance(batch, Batch), batch
    assert batch.identities[0].token == identity.token
    verdict = validate.sync(client=client, body=ValidateIdentity(identity.id))
    assert isinstance(verdict, Verdict), verdict
    assert verdict.valid
    verdicts = validate.sync(client=client, body=ValidateIdentities([identity.id, "no identity"]))
    assert isinstance(verdicts, Verdicts), verdicts
    assert [each.valid for each in verdicts.results] == [True, False]
    revoked = revoke.sync(client=client, body=RevokeIdentityByToken(identity.id, identity.token))
    assert isinstance(revoked, RevokedIdentity), revoked
    assert (revoked.identity, revoked.already) == (identity.id, False)
    assert isinstance(limits.sync(client=client), Limits)
    assert isinstance(health.sync(client=client), Health)
    assert isinstance(telemetry.sync(client=client), Telemetry)


if __name__ == "__main__":
    call(AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2]))
