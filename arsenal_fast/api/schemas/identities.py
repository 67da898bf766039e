"""Schemas of the requests and responses that issue, validate and revoke identities."""

from typing import Final

from arsenal_fast.api.fastpath.render import FORMAT
from arsenal_fast.api.fastpath.response_cache import MAX_NAME
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.api.json_schema import (
    Schema,
    array_of,
    body_of,
    boolean,
    constant,
    count,
    nullable,
    object_of,
    one_of,
    published,
    string,
    text,
    timestamp,
    word,
)
from arsenal_fast.api.schemas import parts
from arsenal_fast.identity.grammar import MAX_ID, MAX_PART
from arsenal_fast.registry.verdict import REASONS, Status

_ASKED: Final = string("Any text; its verdict is the answer.", example=parts.ID_EXAMPLE)
_ASKED_TOKEN: Final = string(
    "Any text; good is the token of the identity: ours, in force, and of no life that was revoked.", example=parts.JWT
)
_REVOKED_ID: Final = text(
    parts.ASKED_ID_PATTERN, MAX_ID, "The identity; its domain in any case.", example=parts.ID_EXAMPLE
)
_OWN_TOKEN: Final = string(
    "The identity's own token: who holds it may end the identity. Without it a service token has to.", example=parts.JWT
)
_REVOKED_PREFIX: Final = text(parts.PREFIX_PATTERN, MAX_PART, "The prefix, in its own case.", example="player")
_BEFORE: Final = parts.moment("Every life that began before this moment ends; from 1970 until now.", parts.GENERATED)
_REVOKED_STATUS: Final = constant("revoked")

_VERDICT: Final = object_of(
    {
        "identity": nullable(
            string(
                "The text that was asked about, or the identity of the token that came alone; "
                "null where that can't be read.",
                example=parts.ID_EXAMPLE,
            )
        ),
        "valid": boolean("The verdict to act on: true only where `status` is `active`.", example=True),
        "status": word(
            "`malformed`: no identity, or a token of another identity or another service. `unknown`: "
            "well formed, but not on record. `unverifiable`: what is on record can't be read, or is not enough "
            "to check the token with.",
            Status,
            example="active",
        ),
        "reason": string("One plain sentence.", minLength=1, example=REASONS[Status.ACTIVE]),
        "well_formed": boolean("The syntax alone.", example=True),
        "rfc5322_compliant": boolean("Whether the part before `/` is an RFC 5322 addr-spec.", example=True),
        "metadata": nullable(object_of({**parts.ISSUED_PARTS, "format": constant(FORMAT)})),
        "cached": boolean("Found in the TTL cache, where an identity is until it expires.", example=True),
        "generated": nullable(timestamp("When it was issued or renewed.", example=parts.GENERATED)),
        "expires": nullable(timestamp("When it ends or ended.", example=parts.EXPIRES)),
        "validated": timestamp("When this verdict was made.", example="2026-11-22T10:15:00.000Z"),
    }
)

IDENTITIES: Final[dict[str, Schema]] = {
    "Identity": object_of(
        {
            **parts.ISSUED,
            "metadata": object_of(
                {
                    **parts.ISSUED_PARTS,
                    "compatible": array_of(
                        {"type": "string"},
                        "Registries that take the identity as an e-mail address.",
                        example=["nexus", "artifactory", "jfrog"],
                    ),
                }
            ),
        },
        description="A living identity; it validates.",
    ),
    "BatchRequest": body_of(
        {
            "environments": parts.rows_of(
                body_of(
                    {
                        "name": string(
                            "Handed back with the identity.", minLength=1, maxLength=MAX_NAME, example="prod"
                        ),
                        "prefix": parts.PREFIX,
                        "run": parts.RUN,
                    },
                    optional=("prefix", "run"),
                    title="Environment",
                ),
                "What to issue an identity for, each.",
            ),
            "domain": parts.DOMAIN,
            "version": parts.VERSION,
            "ttl": published(parts.TTL),
        },
        optional=("domain", "version", "ttl"),
    ),
    "Batch": object_of(
        {
            "identities": parts.rows_of(
                object_of(
                    {"environment": string("Name of the environment.", example="prod"), **parts.ISSUED},
                    title="BatchIdentity",
                ),
                "In the order of the environments.",
            ),
            "total": count("How many identities.", maximum=MAX_ROWS, example=1),
            "domain": parts.ISSUED_DOMAIN,
            "version": parts.VERSION,
            "ttl": {**parts.TTL, "description": "Seconds asked for; a living identity keeps its own."},
            "generated": timestamp("When the answer was made.", example=parts.GENERATED),
        },
    ),
    "ValidationRequest": one_of(
        body_of({"identity": _ASKED}, title="ValidateIdentity"),
        body_of({"token": _ASKED_TOKEN}, title="ValidateToken"),
        body_of({"identity": _ASKED, "token": _ASKED_TOKEN}, title="ValidateIdentityAndToken"),
        body_of(
            {
                "identities": parts.rows_of(
                    {"type": "string"},
                    "Any texts; each gets its verdict.",
                    example=[parts.ID_EXAMPLE, "not an identity"],
                )
            },
            title="ValidateIdentities",
        ),
    ),
    "Verdict": _VERDICT,
    "ValidationAnswer": one_of(
        parts.ref("Verdict", example=_VERDICT["example"]),
        object_of(
            {
                "results": parts.rows_of(parts.ref("Verdict"), "In the order of the identities."),
                "total": count("How many verdicts.", maximum=MAX_ROWS),
            },
            title="Verdicts",
        ),
    ),
    "RevocationRequest": one_of(
        body_of({"identity": _REVOKED_ID}, title="RevokeIdentity"),
        body_of({"identity": _REVOKED_ID, "token": _OWN_TOKEN}, title="RevokeIdentityByToken"),
        body_of({"prefix": _REVOKED_PREFIX, "issued_before": _BEFORE}, title="RevokePrefix"),
        body_of({"issued_before": _BEFORE}, title="RevokeEverything"),
    ),
    "Revocation": one_of(
        object_of(
            {
                "identity": parts.ISSUED_ID,
                "status": _REVOKED_STATUS,
                "already": boolean("It was revoked before; nothing has changed.", example=False),
                "generated": timestamp("When the newest life that is known began.", example=parts.GENERATED),
                "revoked": timestamp("Every life that began at or before this moment is dead.", example=parts.REVOKED),
            },
            title="RevokedIdentity",
        ),
        object_of(
            {
                "prefix": nullable(text(parts.PREFIX_PATTERN, MAX_PART, "Null: everything.", example="player")),
                "status": _REVOKED_STATUS,
                "issued_before": timestamp(
                    "Every life that began before this moment is dead. It never falls: where a later one was in "
                    "force already, that one.",
                    example=parts.REVOKED,
                ),
            },
            title="RevokedBefore",
        ),
    ),
}
