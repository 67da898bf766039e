"""Schemas of the requests and responses that issue, validate and revoke identities."""

from typing import Final

from arsenal_fast.api.fastpath.render import FORMAT, KIND
from arsenal_fast.api.handlers.identities import MAX_NAME
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.api.schemas.parts import (
    ASKED_ID_PATTERN,
    DOMAIN,
    DOMAIN_EXAMPLE,
    EMAIL_EXAMPLE,
    EXPIRES,
    GENERATED,
    ID_EXAMPLE,
    ISSUED_DOMAIN,
    ISSUED_EMAIL,
    ISSUED_ID,
    ISSUED_LIFE,
    ISSUED_PARTS,
    JWT,
    LIFE_EXAMPLE,
    PARTS_EXAMPLE,
    PREFIX,
    PREFIX_PATTERN,
    REVOKED,
    RUN,
    TTL,
    VERSION,
    Schema,
    array_of,
    count,
    moment,
    nullable,
    object_of,
    ref,
    text,
    timestamp,
    word,
)
from arsenal_fast.identity.grammar import MAX_ID, MAX_PART
from arsenal_fast.identity.validity import DEFAULT_TTL
from arsenal_fast.registry.verdict import Status

_VERDICT_EXAMPLE: Final = {
    "identity": ID_EXAMPLE,
    "valid": True,
    "status": "active",
    "reason": "The identity was issued by this service and has not expired.",
    "well_formed": True,
    "rfc5322_compliant": True,
    "metadata": {**PARTS_EXAMPLE, "type": KIND, "format": FORMAT},
    "cached": True,
    "generated": GENERATED,
    "expires": EXPIRES,
    "validated": "2026-11-22T10:15:00.000Z",
}
_REVOCATION_EXAMPLES: Final = [
    {
        "identity": ID_EXAMPLE,
        "status": "revoked",
        "already": False,
        "generated": GENERATED,
        "revoked": REVOKED,
    },
    {"prefix": "player", "status": "revoked", "issued_before": REVOKED},
]
_ASKED: Final = {"type": "string", "description": "Any text; its verdict is the answer."}
_ASKED_TOKEN: Final = {
    "type": "string",
    "description": "Any text; good is the token of the identity: ours, in force, and of no life that was revoked.",
}
_REVOKED_ID: Final = text(ASKED_ID_PATTERN, MAX_ID, "The identity; its domain in any case.")
_OWN_TOKEN: Final = {
    "type": "string",
    "description": "The identity's own token: who holds it may end the identity. Without it a service token has to.",
}
_REVOKED_PREFIX: Final = text(PREFIX_PATTERN, MAX_PART, "The prefix, in its own case.")
_BEFORE: Final = moment("Every life that began before this moment ends; from 1970 until now.")
_REVOKED_STATUS: Final = {"const": "revoked"}

IDENTITIES: Final[dict[str, Schema]] = {
    "Identity": object_of(
        {
            "id": ISSUED_ID,
            "email": ISSUED_EMAIL,
            **ISSUED_LIFE,
            "metadata": object_of(
                {
                    **ISSUED_PARTS,
                    "compatible": {
                        "type": "array",
                        "items": {"type": "string"},
                        "description": "Registries that take the identity as an e-mail address.",
                    },
                },
                title="IdentityMetadata",
            ),
        },
        description="A living identity; it validates.",
        examples=[
            {
                "id": ID_EXAMPLE,
                "email": EMAIL_EXAMPLE,
                **LIFE_EXAMPLE,
                "metadata": {**PARTS_EXAMPLE, "type": KIND, "compatible": ["nexus", "artifactory", "jfrog"]},
            }
        ],
    ),
    "BatchRequest": object_of(
        {
            "environments": array_of(
                object_of(
                    {
                        "name": {
                            "type": "string",
                            "minLength": 1,
                            "maxLength": MAX_NAME,
                            "description": "Handed back with the identity.",
                        },
                        "prefix": PREFIX,
                        "run": RUN,
                    },
                    optional=("prefix", "run"),
                    additionalProperties=False,
                    title="Environment",
                ),
                "What to issue an identity for, each.",
            ),
            "domain": DOMAIN,
            "version": VERSION,
            "ttl": TTL,
        },
        optional=("domain", "version", "ttl"),
        additionalProperties=False,
        examples=[
            {
                "environments": [{"name": "prod", "prefix": "player", "run": "123456"}],
                "domain": DOMAIN_EXAMPLE,
                "version": "v1",
            }
        ],
    ),
    "Batch": object_of(
        {
            "identities": array_of(
                object_of(
                    {
                        "environment": {"type": "string", "description": "Name of the environment."},
                        "id": ISSUED_ID,
                        "email": ISSUED_EMAIL,
                        **ISSUED_LIFE,
                    },
                    title="BatchIdentity",
                ),
                "In the order of the environments.",
            ),
            "total": count("How many identities.", maximum=MAX_ROWS),
            "domain": ISSUED_DOMAIN,
            "version": VERSION,
            "ttl": {**TTL, "description": "Seconds asked for; a living identity keeps its own."},
            "generated": timestamp("When the answer was made."),
        },
        examples=[
            {
                "identities": [{"environment": "prod", "id": ID_EXAMPLE, "email": EMAIL_EXAMPLE, **LIFE_EXAMPLE}],
                "total": 1,
                "domain": DOMAIN_EXAMPLE,
                "version": "v1",
                "ttl": DEFAULT_TTL,
                "generated": GENERATED,
            }
        ],
    ),
    "ValidationRequest": {
        "oneOf": [
            object_of({"identity": _ASKED}, additionalProperties=False, title="ValidateIdentity"),
            object_of({"token": _ASKED_TOKEN}, additionalProperties=False, title="ValidateToken"),
            object_of(
                {"identity": _ASKED, "token": _ASKED_TOKEN},
                additionalProperties=False,
                title="ValidateIdentityAndToken",
            ),
            object_of(
                {"identities": array_of({"type": "string"}, "Any texts; each gets its verdict.")},
                additionalProperties=False,
                title="ValidateIdentities",
            ),
        ],
        "examples": [
            {"identity": ID_EXAMPLE},
            {"token": JWT},
            {"identity": ID_EXAMPLE, "token": JWT},
            {"identities": [ID_EXAMPLE, "not an identity"]},
        ],
    },
    "Verdict": object_of(
        {
            "identity": {
                "type": ["string", "null"],
                "description": "The text that was asked about, or the identity of the token that came alone; "
                "null where that can't be read.",
            },
            "valid": {
                "type": "boolean",
                "description": "The verdict to act on: true only where `status` is `active`.",
            },
            "status": word(
                "`malformed`: no identity, or a token of another identity or another service. `unknown`: "
                "well formed, but not on record. `unverifiable`: what is on record can't be read, or is not enough "
                "to check the token with.",
                *Status,
            ),
            "reason": {"type": "string", "minLength": 1, "description": "One plain sentence."},
            "well_formed": {"type": "boolean", "description": "The syntax alone."},
            "rfc5322_compliant": {
                "type": "boolean",
                "description": "Whether the part before `/` is an RFC 5322 addr-spec.",
            },
            "metadata": nullable(object_of({**ISSUED_PARTS, "format": {"const": FORMAT}}, title="VerdictMetadata")),
            "cached": {
                "type": "boolean",
                "description": "Found in the TTL cache, where an identity is until it expires.",
            },
            "generated": nullable(timestamp("When it was issued or renewed.")),
            "expires": nullable(timestamp("When it ends or ended.")),
            "validated": timestamp("When this verdict was made."),
        },
        examples=[_VERDICT_EXAMPLE],
    ),
    "ValidationAnswer": {
        "oneOf": [
            ref("Verdict"),
            object_of(
                {
                    "results": array_of(ref("Verdict"), "In the order of the identities."),
                    "total": count("How many verdicts.", maximum=MAX_ROWS),
                },
                title="Verdicts",
            ),
        ],
        "examples": [_VERDICT_EXAMPLE],
    },
    "RevocationRequest": {
        "oneOf": [
            object_of({"identity": _REVOKED_ID}, additionalProperties=False, title="RevokeIdentity"),
            object_of(
                {"identity": _REVOKED_ID, "token": _OWN_TOKEN},
                additionalProperties=False,
                title="RevokeIdentityByToken",
            ),
            object_of(
                {"prefix": _REVOKED_PREFIX, "issued_before": _BEFORE}, additionalProperties=False, title="RevokePrefix"
            ),
            object_of({"issued_before": _BEFORE}, additionalProperties=False, title="RevokeEverything"),
        ],
        "examples": [
            {"identity": ID_EXAMPLE},
            {"identity": ID_EXAMPLE, "token": JWT},
            {"prefix": "player", "issued_before": GENERATED},
            {"issued_before": GENERATED},
        ],
    },
    "Revocation": {
        "oneOf": [
            object_of(
                {
                    "identity": ISSUED_ID,
                    "status": _REVOKED_STATUS,
                    "already": {"type": "boolean", "description": "It was revoked before; nothing has changed."},
                    "generated": timestamp("When the newest life that is known began."),
                    "revoked": timestamp("Every life that began at or before this moment is dead."),
                },
                title="RevokedIdentity",
            ),
            object_of(
                {
                    "prefix": nullable(text(PREFIX_PATTERN, MAX_PART, "Null: everything.")),
                    "status": _REVOKED_STATUS,
                    "issued_before": timestamp(
                        "Every life that began before this moment is dead. It never falls: where a later one was in "
                        "force already, that one."
                    ),
                },
                title="RevokedBefore",
            ),
        ],
        "examples": _REVOCATION_EXAMPLES,
    },
}
