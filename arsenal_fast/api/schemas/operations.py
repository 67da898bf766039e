"""Schemas of the audit, keys, limits, health, probes and problems."""

from typing import Final

from arsenal_fast.api.handlers.token_exchange import ACCESS_TOKEN, GRANT, ID_TOKEN, JWT
from arsenal_fast.api.json_schema import (
    Schema,
    array_of,
    constant,
    count,
    nullable,
    object_of,
    string,
    text,
    timestamp,
    word,
)
from arsenal_fast.api.problems import KIND_OF_STATUS, PATH, PROBLEMS
from arsenal_fast.api.schemas import parts
from arsenal_fast.api.telemetry import RUNBOOKS
from arsenal_fast.api.telemetry_table import HEALTH, TELEMETRY
from arsenal_fast.identity.grammar import MAX_PART
from arsenal_fast.ledger.model import KINDS, MAX_PAGE
from arsenal_fast.ratelimit.policies import MAX_POLICIES
from arsenal_fast.tokens.claims import MAX_TOKEN

_AWAY: Final = string("One sentence, without addresses and passwords.")
_RUNBOOK: Final = string("URL of the page of the documentation.", format="uri")
_EVENT: Final = object_of(
    {
        "sequence": count("Number of the event; not without gaps.", 1, example=4711),
        "event": word("What has happened; `audit_read`: the ledger was read.", KINDS, example="issued"),
        "at": timestamp("When: of a life its `generated`.", example=parts.GENERATED),
        "identity": nullable(parts.ISSUED_ID, description="Null where the event is not of one identity."),
        "prefix": nullable(
            text(parts.PREFIX_PATTERN, MAX_PART, "Of the identity, or what was revoked or asked for.", example="player")
        ),
        "run": nullable(text(parts.RUN_PATTERN, MAX_PART, "Of the identity, or what was asked for.", example="123456")),
        "domain": nullable(parts.ISSUED_DOMAIN),
        "version": nullable(parts.ISSUED_VERSION),
        "generated": nullable(timestamp("When the life began.", example=parts.GENERATED)),
        "expires": nullable(timestamp("When it ends.", example=parts.EXPIRES)),
        "issued_before": nullable(timestamp("Of a revocation: lives that began before are dead.", example=None)),
        "environment": nullable(string("The name that a batch gave it.", example="prod")),
        "caller": string("Who asked, as in `client` of the limits.", minLength=1, example="sub:sports-book"),
        "request_id": nullable(string("The `X-Request-Id` of its answer.", maxLength=128, example="deploy-7")),
        "token": nullable(string("Id of a service token.", example=None)),
        "subject": nullable(string("Of that token, or of all tokens that were withdrawn.", example=None)),
        "rate_limit": nullable(count("Of that token, in requests a window.", 1, example=None)),
    },
    description="What does not apply is null.",
)
_FAULT: Final = object_of(
    {
        "pointer": string("JSON pointer (RFC 6901) into the body.", example="/environments/3/prefix"),
        "parameter": string("Name of the query parameter."),
        "detail": string("What is allowed.", example="prefix must be 1 to 62 of A-Z a-z 0-9 _ . ..."),
    },
    optional=("pointer", "parameter"),
    title="Fault",
)
_POLICY: Final = object_of(
    {
        "policy": string("Its name.", example="default"),
        "limit": count("Requests in a window.", 1, example=100),
        "window": count("Seconds of the window.", 1, example=3600),
        "remaining": count("Requests that would pass now.", example=99),
        "reset": count("Seconds until all of the limit is there again.", example=36),
    },
    title="LimitPolicy",
)
_PROBLEM_TYPE: Final = string(
    f"Kind of problem: the path of a page that says what it means; all of them are at `{PATH}`. Behind a proxy that "
    "gives the service a path prefix, the prefix stands before it.",
    format="uri-reference",
    pattern=f"{PATH}/({'|'.join(PROBLEMS)})$",
    example=f"{PATH}/{KIND_OF_STATUS[400].name}",
)
_PROBLEM_STATUS: Final = {"type": "integer", "minimum": 400, "maximum": 599, "example": 400}
_PROBLEM_TITLE: Final = string("The kind in words.", example=KIND_OF_STATUS[400].title)
_KIND: Final = object_of(
    {
        "type": _PROBLEM_TYPE,
        "status": _PROBLEM_STATUS,
        "title": _PROBLEM_TITLE,
        "meaning": string("What has happened.", example=KIND_OF_STATUS[400].meaning),
        "remedy": string("What the client can do.", example=KIND_OF_STATUS[400].remedy),
    }
)
_POLICIES: Final = "Names of the rate-limit policies that are used up (status 429)."

OPERATIONS: Final[dict[str, Schema]] = {
    "Audit": object_of(
        {
            "events": array_of(parts.ref("AuditEvent", example=_EVENT["example"]), "Newest first.", maxItems=MAX_PAGE),
            "total": count("How many events this page has.", maximum=MAX_PAGE, example=1),
            "cursor": nullable(parts.CURSOR, description="Where the next page begins; null: this is the last one."),
        }
    ),
    "AuditEvent": _EVENT,
    "KeySet": object_of(
        {
            "keys": array_of(
                object_of(
                    {
                        "kty": constant("OKP"),
                        "crv": constant("Ed25519"),
                        "x": string(
                            "The public key (RFC 8037).", example="11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
                        ),
                        "kid": string(
                            "As in a token's header; its RFC 7638 thumbprint.",
                            example="kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                        ),
                        "use": constant("sig"),
                        "alg": constant("EdDSA"),
                    },
                    title="Key",
                ),
                "Empty while identity tokens are signed with the secret.",
            )
        },
        description="A JWK Set (RFC 7517).",
    ),
    "Limits": object_of(
        {
            "client": string(
                "Who is charged: an IPv4 address, an IPv6 /64 network, or `sub:` and the subject of a service token, "
                "and behind `>` the end user in `Arsenal-Subject`.",
                example="203.0.113.9",
            ),
            "policy": nullable(
                string(
                    "Name in `RateLimit-Policy`: `default`, `token` with a service token's own limit, `subject`, or as "
                    "the limits file has it; of several the one that stops the caller first; null: no limit.",
                    example="default",
                )
            ),
            "limit": nullable(count("Requests in a window; null: no limit.", 1, example=100)),
            "window": nullable(count("Seconds of the window.", 1, example=3600)),
            "remaining": nullable(count("Requests that would pass now.", example=99)),
            "reset": count("Seconds until all of the limit is there again.", example=36),
            "policies": array_of(_POLICY, "All policies for the caller; empty: no limit.", maxItems=MAX_POLICIES + 2),
        }
    ),
    "Health": object_of(
        {
            **{name: figure.schema for name, figure in HEALTH.items()},
            "reasons": object_of(
                dict.fromkeys(RUNBOOKS, _AWAY),
                optional=tuple(RUNBOOKS),
                description="Why a service or a changed file (`limits`, `issuers`) can't be used; else absent.",
            ),
            "since": object_of(
                dict.fromkeys(RUNBOOKS, timestamp("Since when.")),
                optional=tuple(RUNBOOKS),
                description="Since when it can't be used, to a second; absent with `reasons`.",
            ),
            "runbooks": object_of(
                dict.fromkeys(RUNBOOKS, _RUNBOOK),
                optional=tuple(RUNBOOKS),
                description="What to do about it; absent with `reasons`.",
            ),
        },
        optional=("reasons", "since", "runbooks"),
    ),
    "Probe": object_of({"status": string("One word.", pattern="^[a-z]+$")}),
    "Telemetry": TELEMETRY,
    "TokenRequest": object_of(
        {
            "grant_type": constant(GRANT),
            "subject_token": string("The ID token.", minLength=1, maxLength=MAX_TOKEN, example=parts.JWT),
            "subject_token_type": word("Its type.", (ID_TOKEN, JWT), example=ID_TOKEN),
            "requested_token_type": word("Type of the token to be issued.", (ACCESS_TOKEN, JWT), example=ACCESS_TOKEN),
            "scope": string("Scopes of the rule, between spaces; all by default.", example="issue:ci"),
        },
        optional=("requested_token_type", "scope"),
    ),
    "TokenAnswer": object_of(
        {
            "access_token": string("The service token, for `Authorization: Bearer`.", example=parts.JWT),
            "issued_token_type": constant(ACCESS_TOKEN),
            "token_type": constant("Bearer"),
            "expires_in": count("Seconds until it expires.", 1, example=600),
            "scope": string("`issue:` and a prefix, for each prefix of the rule.", example="issue:ci"),
        },
        description="RFC 8693 section 2.2.1.",
    ),
    "TokenError": object_of(
        {
            "error": word(
                "The kind of error.",
                (
                    *("invalid_request", "unsupported_grant_type", "invalid_scope", "invalid_target"),
                    "temporarily_unavailable",
                ),
                example="invalid_request",
            ),
            "error_description": string("One sentence.", example="The token has expired."),
        },
        description="RFC 6749 section 5.2.",
    ),
    "ProblemKinds": object_of({"problems": array_of(_KIND, "In the order of their status.")}),
    "Problem": object_of(
        {
            "type": _PROBLEM_TYPE,
            "title": _PROBLEM_TITLE,
            "status": _PROBLEM_STATUS,
            "detail": string("What is wrong with this request.", example="The request has 1 fault; nothing was done."),
            "request_id": string("The `X-Request-Id` of the answer.", minLength=1, maxLength=128, example="deploy-7"),
            "errors": array_of(_FAULT, "Every bad member or parameter.", minItems=1),
            "violated-policies": array_of({"type": "string"}, _POLICIES, minItems=1),
        },
        optional=("errors", "violated-policies"),
        description="RFC 9457.",
    ),
}
