"""The claims of tokens: their encoding, and the rules that they must keep.

Two kinds, both signed JWTs (RFC 7519) in the compact form (RFC 7515 section 7.1):

    identity token   iss sub iat exp jti, and no aud        "this service issued ``sub``, until ``exp``"
    service token    iss aud sub scope rate_limit iat exp jti   "``sub`` may do ``scope``, at this rate"
                     per_subject, with the scope ``behalf``     "and each of its end users at that one"

``aud`` tells them apart, so neither passes for the other (RFC 8725 section 3.12). ``jti`` of an identity token
is the ``generated`` of its life in ms, which ties the token to that life: a later life has another. Times are
whole seconds, rounded down, so a token never outlives its identity. Unknown claims are ignored
(RFC 7519 section 4), so that a release may add one while another still serves.

Rules of this file: it never verifies a signature and is only called after one was verified, except ``peek`` and
``shape_fault``. A refusal is a value with one sentence, which never repeats the token.
"""

import json
import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

from arsenal_fast.errors import ArsenalError
from arsenal_fast.identity.grammar import Identity, parse, prefix_fault
from arsenal_fast.identity.validity import LAST_MOMENT, Life

AUDIENCE: Final = "arsenal-identity"
"""``aud`` of a service token."""

TYPE: Final = "JWT"
"""``typ`` of every token that we write or accept (RFC 7519 section 5.1)."""

HEADER_PARAMETERS: Final = frozenset({"alg", "typ", "kid"})
"""The members a header may have. All others (crit, b64, jku, jwk, x5u, zip) would change the verification."""

SCOPES: Final = ("issue", "revoke", "audit", "metrics", "tokens", "behalf")
"""The scopes of service tokens: protected prefixes, revoking any identity, reading the ledger, the metrics, minting and
withdrawing service tokens, and naming the end user of a request.

``issue:ci`` is a scope too: it allows the one prefix.
"""

LEEWAY: Final = 60
"""Seconds that a token may begin in the future, since another host's clock wrote it. The expiry has no tolerance."""

MAX_TOKEN: Final = 4096  # bytes; ours have 300 to 900, and a header section holds 16 KiB in all
MAX_HEADER: Final = 256  # characters of the first part, the one that is parsed before a signature was checked
MAX_RATE_LIMIT: Final = 1_000_000_000  # as RATE_LIMIT_REQUESTS
_MAX_JTI: Final = 128

IDENTITY_CLAIMS: Final = ("iss", "sub", "iat", "exp", "jti")
SERVICE_CLAIMS: Final = (*IDENTITY_CLAIMS, "aud", "scope", "rate_limit")

_LAST_SECOND: Final = LAST_MOMENT // 1000
_BLOCK: Final = 64  # bytes of a block of SHA-256
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")  # RFC 4648 section 5

# RFC 4648 section 5 without padding (RFC 7515 section 2), in its one canonical form: section 3.5 has the spare
# bits of the last character zero. A verifier that ignores them takes several texts for one token.
_BASE64URL: Final = r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]|[A-Za-z0-9_-][AQgw])?"
# RFC 7515 section 7.1. No signature at all has the right shape: then the algorithm is refused.
_compact = re.compile(rf"(?=[^.]{{1,{MAX_HEADER}}}+\.[^.]){_BASE64URL}\.{_BASE64URL}\.{_BASE64URL}").fullmatch
# It becomes part of the store's keys and of log lines.
_subject = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~@:/+-]{0,127}").fullmatch
_decimal = re.compile(r"0|[1-9][0-9]{0,14}").fullmatch

SUBJECT_RANGE: Final = "A subject is 1 to 128 of A-Z a-z 0-9 . _ ~ @ : / + -, and begins with a letter or digit."


class Refusal(Enum):
    """Why a token is refused; ``sentence`` may be shown to its sender."""

    OVERSIZED = f"The token has more than {MAX_TOKEN} characters."
    MALFORMED = "The text is not a token: three parts of base64url joined by dots, JSON in the first two."
    HEADER = "The token's header has a parameter that this service does not accept."
    TYPE = f"The token's header does not have the type {TYPE}."
    ALGORITHM = "The token's header names no algorithm and key that this service accepts for such a token."
    SIGNATURE = "The token was not signed by this service, or was changed afterwards."
    DUPLICATE = "The token has the same member twice."
    MISSING = "The token lacks a claim that a token of its kind has."
    ISSUER = "The token was issued by another service, or under another API_BASE_URL."
    AUDIENCE = "The token is of the wrong kind or for another audience."
    SUBJECT = "The token's subject is not one that a token of its kind has."
    ID = "The token's jti is not one that a token of its kind has."
    TIMES = "The token's times are not whole seconds with the end after the beginning."
    FUTURE = "The token is not valid yet."
    EXPIRED = "The token has expired."
    WITHDRAWN = "The token has been withdrawn."
    SCOPE = f"The token's scope is not made of {', '.join(SCOPES)}."
    RATE_LIMIT = f"The token's rate_limit is not a whole number from 1 to {MAX_RATE_LIMIT}."
    PER_SUBJECT = (
        f"The token's per_subject is not a whole number from 1 to {MAX_RATE_LIMIT}, which the scope behalf needs and "
        "no other has."
    )

    @property
    def sentence(self) -> str:
        return self.value


class DuplicateMember(ArsenalError):
    """A JSON object has a name twice: parsers differ in which one they use (RFC 8259 section 4)."""


class IdentityToken(NamedTuple):
    """A verified identity token: ``generated`` in ms is that of the life, ``expires`` is in seconds."""

    id: str
    generated_ms: int
    expires_s: int


class ServiceToken(NamedTuple):
    """A verified service token; ``rate_limit`` and ``per_subject`` in requests a window, the times in seconds."""

    subject: str
    scopes: frozenset[str]
    rate_limit: int
    expires: int
    issued: int = 0
    per_subject: int = 0
    """The limit of each end user; 0 without the scope ``behalf``."""
    id: str = ""
    """See :func:`token_id`; empty before it is signed."""


class Peek(NamedTuple):
    """The header and claims of a text, unverified."""

    header: dict[str, Any]
    claims: dict[str, Any]


ID_LENGTH: Final = 20
"""Hexadecimal digits of a token's id: 80 bits, so that no two tokens of a service have the same."""

is_token_id: Final = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}").fullmatch


def subject_fault(subject: str) -> str | None:
    """Return what is wrong with the subject of a service token, or None."""
    return None if _subject(subject) else SUBJECT_RANGE


def token_id(token: str) -> str:
    """Return the id of a token: the beginning of the SHA-256 of its signature, in hexadecimal digits.

    So every token has one, those of earlier releases included, and nobody can make a token of a given id.
    """
    return sha256(token.rpartition(".")[2].encode("ascii")).hexdigest()[:ID_LENGTH]


# Encoding.


def encode(data: bytes) -> bytes:
    """Encode one part of a token: base64url without padding."""
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=")


def decode(part: str) -> bytes:
    """Decode one part of a well-formed token."""
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def header(algorithm: str, kid: str | None = None) -> bytes:
    """Return the encoded header; its members are sorted, so each key has one text."""
    members = {"alg": algorithm, "typ": TYPE} | ({} if kid is None else {"kid": kid})
    return encode(json.dumps(members, separators=(",", ":"), sort_keys=True).encode("ascii"))


class IdentitySigner:
    """Signs the identity tokens of one issuer and key; their common beginning is encoded once."""

    __slots__ = ("_begun", "_sign", "_start")

    def __init__(self, header: bytes, issuer: str, signer: Callable[[bytes], Callable[[bytes], bytes]]) -> None:
        """``header``: the first part, encoded. ``signer(start)`` returns a function that signs data after ``start``."""
        begun = f'{{"iss":{json.dumps(issuer)},"sub":"'
        whole = len(begun) - len(begun) % 3  # base64 turns three bytes into four characters, whatever follows
        self._start = header + b"." + encode(begun[:whole].encode("ascii"))
        self._begun = begun[whole:]
        self._sign = signer(self._start)

    def token(self, identity: str, life: Life) -> str:
        """Return the token of this life. ``identity`` is valid, so it needs no escaping."""
        # encode(), inlined twice, since this runs for every new identity. Base64 has a "+" or "/" where six bits are 62
        # or 63: of ASCII, for one of "~>?", which neither an identity nor JSON around it has, or DEL.
        payload = f"{self._begun}{identity}{_claims_of(life)}".encode("ascii")
        part = b2a_base64(payload, newline=False).rstrip(b"=")
        signature = b2a_base64(self._sign(part), newline=False).translate(_TO_URL).rstrip(b"=")
        return b"".join((self._start, part, b".", signature)).decode("ascii")


@lru_cache(maxsize=64)
def _claims_of(life: Life) -> str:
    # Identities issued in one batch have equal lives.
    generated, expires = life
    return f'","iat":{generated // 1000},"exp":{expires // 1000},"jti":"{generated}"}}'


def service_payload(issuer: str, token: ServiceToken, issued: int, jti: str) -> bytes:
    """Return the payload of a service token, not encoded. ValueError with one sentence where it would be refused."""
    if unknown := [scope for scope in token.scopes if not is_scope(scope)]:
        raise ValueError(f"A scope is one of {', '.join(SCOPES)}; {len(unknown)} of those given are none.")
    if not is_subject(token.subject):
        raise ValueError(SUBJECT_RANGE)
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": token.subject,
        "scope": scope_text(token.scopes),
        "rate_limit": token.rate_limit,
        "iat": issued,
        "exp": token.expires,
        "jti": jti,
    }
    if token.per_subject:
        claims["per_subject"] = token.per_subject
    read = service_token(claims, issuer, issued)
    if isinstance(read, Refusal):
        raise ValueError(read.sentence)
    return json.dumps(claims, separators=(",", ":")).encode("ascii")


def hs256(key: bytes, start: bytes = b"") -> Callable[[bytes], bytes]:
    """Return a function that signs ``start`` and its argument with HMAC and SHA-256 (RFC 7518 section 3.2).

    The two hashes have taken the padded key (and the start) already, as RFC 2104 section 4 proposes: a signature then
    costs half of what ``hmac.digest`` does, which finds the algorithm and pads the key anew each time. A test holds
    that they agree.
    """
    padded = (sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in padded) + start).copy
    outer = sha256(bytes(byte ^ 0x5C for byte in padded)).copy

    def sign(signing_input: bytes) -> bytes:
        message = inner()
        message.update(signing_input)
        signature = outer()
        signature.update(message.digest())
        return signature.digest()

    return sign


# Verifying.


def shape_fault(token: str) -> Refusal | None:
    """Return why a text can't be a token, before anything in it is parsed; or None."""
    if len(token) > MAX_TOKEN:
        return Refusal.OVERSIZED
    return None if _compact(token) else Refusal.MALFORMED


def strict_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8; raises DuplicateMember, ValueError or RecursionError."""
    value = json.loads(data.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refuse_constant)
    if type(value) is not dict:
        raise ValueError("no JSON object")
    return value


def _distinct(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise DuplicateMember("a name twice in one JSON object")
    return value


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are no JSON")


def peek(token: str) -> Peek | Refusal:
    """Return header and claims of a text for display; nothing is verified."""
    if fault := shape_fault(token):
        return fault
    first, second, _ = token.split(".")
    try:
        return Peek(strict_object(decode(first)), strict_object(decode(second)))
    except DuplicateMember:
        return Refusal.DUPLICATE
    except (ValueError, RecursionError):
        return Refusal.MALFORMED


def header_fault(data: bytes) -> Refusal | None:
    """Return why a header with a valid signature is refused, or None."""
    try:
        members = strict_object(data)
    except DuplicateMember:
        return Refusal.DUPLICATE
    except (ValueError, RecursionError):
        return Refusal.MALFORMED
    if not members.keys() <= HEADER_PARAMETERS:
        return Refusal.HEADER
    return None if members.get("typ") == TYPE else Refusal.TYPE


def identity_token(claims: dict[str, Any], issuer: str, now: float) -> IdentityToken | Refusal:
    """Return the identity token of these verified claims at ``now`` (seconds), which may be an expired one."""
    if "aud" in claims:
        return Refusal.AUDIENCE
    if fault := _origin_fault(claims, IDENTITY_CLAIMS, issuer) or _time_fault(claims, now):
        return fault
    subject, jti = claims["sub"], claims["jti"]
    if not _is_identity(subject):
        return Refusal.SUBJECT
    if type(jti) is not str or _decimal(jti) is None or int(jti) // 1000 != claims["iat"]:
        return Refusal.ID
    return IdentityToken(subject, int(jti), claims["exp"])


def service_token(claims: dict[str, Any], issuer: str, now: float) -> ServiceToken | Refusal:
    """Return the service token of these verified claims at ``now`` (seconds), which may be an expired one."""
    if claims.get("aud") != AUDIENCE:
        return Refusal.AUDIENCE
    if fault := _origin_fault(claims, SERVICE_CLAIMS, issuer) or _time_fault(claims, now):
        return fault
    subject, jti, scopes, rate_limit = claims["sub"], claims["jti"], _scopes(claims["scope"]), claims["rate_limit"]
    if type(subject) is not str or not is_subject(subject):
        return Refusal.SUBJECT
    if type(jti) is not str or not 1 <= len(jti) <= _MAX_JTI:
        return Refusal.ID
    if scopes is None:
        return Refusal.SCOPE
    if type(rate_limit) is not int or not 1 <= rate_limit <= MAX_RATE_LIMIT:
        return Refusal.RATE_LIMIT
    per_subject = claims.get("per_subject", 0)
    least, most = (1, MAX_RATE_LIMIT) if "behalf" in scopes else (0, 0)
    if type(per_subject) is not int or not least <= per_subject <= most:
        return Refusal.PER_SUBJECT
    return ServiceToken(subject, scopes, rate_limit, claims["exp"], claims["iat"], per_subject)


def _origin_fault(claims: dict[str, Any], names: tuple[str, ...], issuer: str) -> Refusal | None:
    """Return why the claims are not of this issuer and complete, or None; null is no claim."""
    if claims.get("iss") != issuer:
        return Refusal.ISSUER
    return Refusal.MISSING if any(claims.get(name) is None for name in names) else None


def _time_fault(claims: dict[str, Any], now: float) -> Refusal | None:
    """Check the times (RFC 7519 sections 4.1.4 to 4.1.6); only integers, neither ``true`` nor 1e9."""
    begin, end = claims["iat"], claims["exp"]
    earliest = claims.get("nbf", begin)
    for second in (begin, end, earliest):
        if type(second) is not int or not 0 <= second <= _LAST_SECOND:
            return Refusal.TIMES
    if end <= max(begin, earliest):
        return Refusal.TIMES
    return Refusal.FUTURE if max(begin, earliest) > now + LEEWAY else None


def _is_identity(subject: object) -> bool:
    """Whether this is an identity as the service writes it, with the domain in lower case."""
    if type(subject) is not str:
        return False
    identity = parse(subject)
    return isinstance(identity, Identity) and identity.id == subject


def is_subject(text: str) -> bool:
    """Whether this can be the subject of a service token."""
    return _subject(text) is not None


def is_scope(word: str) -> bool:
    """Whether this is a scope: one of SCOPES, or ``issue:`` and one protected prefix in lower case."""
    name, colon, prefix = word.partition(":")
    return word in SCOPES or bool(name == "issue" and colon and prefix == prefix.lower() and not prefix_fault(prefix))


def scope_text(scopes: Iterable[str]) -> str:
    """Return scopes as a token has them, each once."""
    return " ".join(sorted(set(scopes), key=_place))


def _place(scope: str) -> tuple[int, str]:
    """Return the place of a scope in a token: the order of SCOPES, a prefix after all of them."""
    return SCOPES.index(scope) if scope in SCOPES else len(SCOPES), scope


def _scopes(text: object) -> frozenset[str] | None:
    """Parse a scope (RFC 6749 section 3.3): words between single spaces, each at most once; empty for none."""
    if type(text) is not str:
        return None
    words = text.split(" ") if text else []
    scopes = frozenset(words)
    return scopes if len(scopes) == len(words) and all(map(is_scope, scopes)) else None
