"""Schemas of the requests and responses of service tokens."""

from typing import Final

from arsenal_fast.api.json_schema import (
    Schema,
    array_of,
    body_of,
    boolean,
    count,
    nullable,
    object_of,
    one_of,
    string,
    text,
    timestamp,
    word,
)
from arsenal_fast.api.schemas import parts
from arsenal_fast.identity.amendments import DEFAULT_DAYS, LONGEST_DAYS
from arsenal_fast.ledger.model import MAX_PAGE
from arsenal_fast.registry.service_tokens import MAX_NAME
from arsenal_fast.tokens.claims import ID_LENGTH, MAX_RATE_LIMIT, MAX_TOKEN, SCOPES

_WORDS: Final = rf"({'|'.join(SCOPES)}|issue:[a-z0-9_]+(\.[a-z0-9_]+)*\.?)"
_ID: Final = text(
    f"^[0-9a-f]{{{ID_LENGTH}}}$",
    ID_LENGTH,
    "Of one token: the beginning of the SHA-256 of its signature.",
    example="5b1f0c9d2e7a48b63c11",
)
_SCOPE: Final = string(
    f"What it allows, between spaces, each once: {', '.join(SCOPES)}, or `issue:` and one protected prefix; empty: "
    "nothing but its limit.",
    pattern=f"^({_WORDS}( {_WORDS})*)?$",
    example="issue behalf",
)
_LIMIT: Final = count(
    "Requests in a window of all tokens of the subject.", 1, maximum=MAX_RATE_LIMIT, example=1_000_000
)
_PER_SUBJECT: Final = count(
    "Requests in a window of each end user; with the scope `behalf`, and only with it.",
    1,
    maximum=MAX_RATE_LIMIT,
    example=60,
)
_NAME: Final = string(
    "For people: what this token is used for.", minLength=1, maxLength=MAX_NAME, example="sports-book, Frankfurt"
)

_TOKEN: Final[dict[str, Schema]] = {
    "id": _ID,
    "name": _NAME,
    "subject": parts.SUBJECT,
    "scope": _SCOPE,
    "rate_limit": {**_LIMIT, "description": "Requests in a window, as they are now."},
    "per_subject": nullable(_PER_SUBJECT),
    "issued": timestamp("When it was minted.", example="2026-11-22T10:00:00.000Z"),
    "expires": timestamp("When it ends.", example="2027-02-20T10:00:00.000Z"),
    "created_by": string("Who had it minted: a caller, or `cli`.", minLength=1, example="sub:operator"),
    "last_used": nullable(
        timestamp("When it was last used, to the minute; null: not yet.", example="2026-11-22T12:34:00.000Z")
    ),
    "status": word("Whether it is good.", ("active", "revoked", "expired"), example="active"),
}
_SHOWN: Final = object_of(_TOKEN)
_ORDER: Final = body_of(
    {
        "subject": parts.SUBJECT,
        "scope": {**_SCOPE, "description": f"{_SCOPE['description']} Left out: empty."},
        "rate_limit": _LIMIT,
        "days": count(f"How long it holds. Left out: {DEFAULT_DAYS}.", 1, maximum=LONGEST_DAYS, example=DEFAULT_DAYS),
        "per_subject": _PER_SUBJECT,
        "name": {**_NAME, "description": "For people: what this token is used for. Left out: the subject."},
    },
    optional=("scope", "days", "per_subject", "name"),
)


TOKENS: Final[dict[str, Schema]] = {
    "Token": _SHOWN,
    "TokenPage": object_of(
        {
            "tokens": array_of(parts.ref("Token", example=_SHOWN["example"]), "Newest first.", maxItems=MAX_PAGE),
            "total": count("How many tokens this page has.", maximum=MAX_PAGE, example=1),
            "cursor": nullable(
                parts.TOKEN_CURSOR, description="Where the next page begins; null: this is the last one."
            ),
        }
    ),
    "TokenOrder": _ORDER,
    "MintedToken": object_of(
        {
            **_TOKEN,
            "token": text(
                parts.JWT_PATTERN, MAX_TOKEN, "The token; it is shown here and never again.", example=parts.JWT
            ),
        }
    ),
    "TokenRevocation": one_of(
        body_of({"id": _ID}, title="RevokeToken"),
        body_of({"subject": parts.SUBJECT}, title="RevokeTokensOfSubject"),
    ),
    "TokenLimit": body_of({"id": _ID, "rate_limit": _LIMIT}),
    "TokenChange": object_of(
        {
            "id": nullable(_ID, description="Null: all tokens of the subject."),
            "subject": nullable(parts.SUBJECT, description="Null where the ledger does not know the token."),
            "status": word("What was done.", ("revoked", "limited"), example="revoked"),
            "rate_limit": nullable(_LIMIT, description="Requests in a window from now on; null: withdrawn."),
            "known": boolean("Whether the ledger knows a token of this id or subject.", example=True),
            "at": timestamp("When it was decided.", example="2026-11-22T10:20:00.000Z"),
        }
    ),
}
