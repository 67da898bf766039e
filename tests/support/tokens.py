"""Tokens, valid and forged: one table for the tests and for the benchmark.

They are put together byte by byte, for no library makes most of them. All are judged at ``NOW``.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from arsenal_fast.identity.validity import Life
from arsenal_fast.secret import Secret
from arsenal_fast.tokens.claims import MAX_TOKEN, Refusal
from arsenal_fast.tokens.keys import Keys

ISSUER = "https://identity.api.yourbook.com"
SECRET = "q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8l9z0"
PREVIOUS = "the secret of last month, 40 octets long"
IDENTITY = "player-123456@sports.api.yourbook.com/v1:id"
LIFE = Life(1_795_341_600_123, 1_795_345_200_123)
NOW = 1_795_341_700.5

PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def hs256_keys(secret: str = SECRET, previous: str | None = None, issuer: str = ISSUER) -> Keys:
    return Keys(Secret(secret), issuer=issuer, previous=None if previous is None else Secret(previous))


def eddsa_keys(*pems: str) -> Keys:
    return Keys(Secret(SECRET), issuer=ISSUER, private_key_pem=Secret("".join(pems) or pem(PRIVATE_KEY)))


HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}
IDENTITY_CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": IDENTITY,
    "iat": LIFE.generated // 1000,
    "exp": LIFE.expires // 1000,
    "jti": str(LIFE.generated),
}
SERVICE_CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": "arsenal-identity",
    "sub": "sports-book",
    "scope": "issue revoke",
    "rate_limit": 1_000_000,
    "iat": 1_795_341_600,
    "exp": 1_803_117_600,
    "jti": "c2VjcmV0IG51bWJlcg",
}


def part(value: object) -> str:
    """One part of a token: bytes as they are, anything else as JSON."""
    octets = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def signed(header: object, payload: object, key: str | bytes = SECRET, digest: str = "sha256") -> str:
    """A token of these bytes or objects whose HMAC holds."""
    signing_input = f"{part(header)}.{part(payload)}"
    octets = key if isinstance(key, bytes) else key.encode()
    return f"{signing_input}.{part(hmac.digest(octets, signing_input.encode(), digest))}"


def signed_eddsa(header: object, payload: object, key: Ed25519PrivateKey = PRIVATE_KEY) -> str:
    signing_input = f"{part(header)}.{part(payload)}"
    return f"{signing_input}.{part(key.sign(signing_input.encode()))}"


def identity(**changes: Any) -> str:
    return signed(HEADER, IDENTITY_CLAIMS | changes)


def service(**changes: Any) -> str:
    return signed(HEADER, SERVICE_CLAIMS | changes)


def without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    return {other: value for other, value in claims.items() if other != name}


def ed25519_header(key: Ed25519PrivateKey = PRIVATE_KEY) -> dict[str, str]:
    """Header of the EdDSA tokens of this key; RFC 7638 by hand."""
    x = part(key.public_key().public_bytes_raw())
    kid = part(hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest())
    return {"alg": "EdDSA", "kid": kid, "typ": "JWT"}


def flipped(encoded: str) -> str:
    """With another first character."""
    return ("B" if encoded.startswith("A") else "A") + encoded[1:]


Kind = Literal["identity", "service"]


class Bad(NamedTuple):
    name: str
    kind: Kind
    token: str
    refusal: Refusal


GOOD_IDENTITY = identity()
GOOD_SERVICE = service()
_HEAD, _PAYLOAD, _SIGNATURE = GOOD_SERVICE.split(".")


def _shapes() -> Iterator[tuple[str, str, Refusal]]:
    good, malformed = GOOD_SERVICE, Refusal.MALFORMED
    yield "too long by one", good + "A" * (MAX_TOKEN + 1 - len(good)), Refusal.OVERSIZED
    yield "a megabyte", "A" * 1_000_000, Refusal.OVERSIZED
    yield "a megabyte of dots", "." * 1_000_000, Refusal.OVERSIZED
    yield "empty", "", malformed
    yield "two dots", "..", malformed
    yield "no payload", f"{_HEAD}..{_SIGNATURE}", malformed
    yield "no header", f".{_PAYLOAD}.{_SIGNATURE}", malformed
    yield "two parts", f"{_HEAD}.{_PAYLOAD}", malformed
    yield "four parts", f"{good}.{_SIGNATURE}", malformed
    yield "five parts, as encrypted ones have", f"{_HEAD}.{_SIGNATURE}.{_HEAD}.{_PAYLOAD}.{_SIGNATURE}", malformed
    yield "a line end behind it", good + "\n", malformed
    yield "a space before it", " " + good, malformed
    yield "quotes around it", f'"{good}"', malformed
    yield "padding", good + "=", malformed
    yield "the other base64 alphabet", signed(HEADER, b'{"a":"\xff\xfe\xfb\xff"}').replace("-", "+"), malformed
    yield "another script's letters", good[:-1] + "Ａ", malformed
    yield "a lone surrogate", good[:-1] + "\ud800", malformed
    yield "a NUL", good[:-1] + "\0", malformed
    # SHA-256 leaves two spare bits in the last of 43 characters.
    yield "another spelling of the same octets", good[:-1] + chr(ord(good[-1]) + 1), malformed
    yield "a header longer than any", signed(HEADER | {"kid": "k" * 200}, SERVICE_CLAIMS), malformed
    yield "cut by one", good[:-1], malformed
    yield "cut in the signature", good[:-3], Refusal.SIGNATURE
    yield "cut before the signature", f"{_HEAD}.{_PAYLOAD}.", Refusal.SIGNATURE
    yield "cut in the payload", f"{_HEAD}.{_PAYLOAD[:100]}.{_SIGNATURE}", Refusal.SIGNATURE
    yield "as long as may be, unsigned", f"{_HEAD}.{'A' * 3996}.{_SIGNATURE}", Refusal.SIGNATURE


def _headers() -> Iterator[tuple[str, str, Refusal]]:
    claims, algorithm, malformed = SERVICE_CLAIMS, Refusal.ALGORITHM, Refusal.MALFORMED
    for none in ("none", "None", "NONE", "nOnE", ""):
        header = part({"alg": none, "typ": "JWT"})
        yield f"alg {none!r}, unsigned", f"{header}.{_PAYLOAD}.", algorithm
        yield f"alg {none!r}, signed", signed({"alg": none, "typ": "JWT"}, claims), algorithm
    for name, digest in (("HS384", "sha384"), ("HS512", "sha512"), ("hs256", "sha256"), ("RS256", "sha256")):
        yield f"alg {name}", signed({"alg": name, "typ": "JWT"}, claims, digest=digest), algorithm
    for value in (None, 1, True, ["HS256"], {"HS256": 1}):
        yield f"alg {value!r}", signed({"alg": value, "typ": "JWT"}, claims), algorithm
    yield "no alg", signed({"typ": "JWT"}, claims), algorithm
    yield "EdDSA by anybody's key", signed_eddsa(ed25519_header(OTHER_KEY), claims, OTHER_KEY), algorithm
    yield "EdDSA by the identities' key", signed_eddsa(ed25519_header(), claims), algorithm
    yield "typ missing", signed({"alg": "HS256"}, claims), Refusal.TYPE
    for typ in ("jwt", "at+jwt", "JOSE", None, 1):
        yield f"typ {typ!r}", signed(HEADER | {"typ": typ}, claims), Refusal.TYPE
    yield "an unknown critical parameter", signed(HEADER | {"crit": ["exp"], "exp": 1}, claims), Refusal.HEADER
    yield "crit, and empty", signed(HEADER | {"crit": []}, claims), Refusal.HEADER
    yield "crit, and no list", signed(HEADER | {"crit": "b64"}, claims), Refusal.HEADER
    yield "crit with what the library knows", signed(HEADER | {"crit": ["b64"], "b64": True}, claims), Refusal.HEADER
    yield "a payload that is not encoded", signed(HEADER | {"crit": ["b64"], "b64": False}, claims), malformed
    yield "kid is a number", signed(HEADER | {"kid": 7}, claims), Refusal.HEADER
    yield "a key of its own", signed(HEADER | {"jwk": {"kty": "oct", "k": "AAAA"}}, claims), Refusal.HEADER
    yield "a place of keys", signed(HEADER | {"jku": "https://evil.example/keys"}, claims), Refusal.HEADER
    yield "compressed", signed(HEADER | {"zip": "DEF"}, claims), Refusal.HEADER
    yield "alg twice", signed(b'{"alg":"none","alg":"HS256","typ":"JWT"}', claims), Refusal.DUPLICATE
    yield "typ twice", signed(b'{"alg":"HS256","typ":"JWT","typ":"JWT"}', claims), Refusal.DUPLICATE
    yield "header is no JSON", signed(b"alg=HS256", claims), malformed
    yield "header is an array", signed(["HS256"], claims), malformed
    yield "header is no UTF-8", signed(b'{"alg":"HS256","typ":"\xff"}', claims), malformed
    yield "header is deep", signed(b"[" * 190, claims), malformed


def _signatures() -> Iterator[tuple[str, str, Refusal]]:
    refusal = Refusal.SIGNATURE
    yield "one bit of the signature", f"{_HEAD}.{_PAYLOAD}.{flipped(_SIGNATURE)}", refusal
    yield "another token's signature", f"{_HEAD}.{part(SERVICE_CLAIMS | {'sub': 'me'})}.{_SIGNATURE}", refusal
    yield "another secret", signed(HEADER, SERVICE_CLAIMS, "somebody's secret, of 32 octets or more"), refusal
    yield "an empty secret", signed(HEADER, SERVICE_CLAIMS, b""), refusal
    yield "a secret of zeros", signed(HEADER, SERVICE_CLAIMS, bytes(32)), refusal
    yield "the secret in upper case", signed(HEADER, SERVICE_CLAIMS, SECRET.upper()), refusal
    yield "too long a signature", GOOD_SERVICE + "AAAA", refusal
    yield "HS256 keyed with the public key (PEM)", signed(HEADER, SERVICE_CLAIMS, public_pem(PRIVATE_KEY)), refusal
    raw = PRIVATE_KEY.public_key().public_bytes_raw()
    yield "HS256 keyed with the public key (raw)", signed(HEADER, SERVICE_CLAIMS, raw), refusal
    yield "HS256 keyed with the public key (x)", signed(HEADER, SERVICE_CLAIMS, part(raw)), refusal


def _payloads() -> Iterator[tuple[str, str, Refusal]]:
    malformed, text = Refusal.MALFORMED, json.dumps(SERVICE_CLAIMS)
    yield "payload is no JSON", signed(HEADER, b"iss=me"), malformed
    yield "payload is an array", signed(HEADER, [SERVICE_CLAIMS]), malformed
    yield "payload is a string", signed(HEADER, text), malformed
    yield "payload is null", signed(HEADER, None), malformed
    yield "payload is UTF-16", signed(HEADER, text.encode("utf-16-le")), malformed
    yield "payload is no UTF-8", signed(HEADER, text.replace("sports", "\xff").encode("latin-1")), malformed
    yield "payload is deep", signed(HEADER, f'{{"a":{"[" * 2900}}}'.encode()), malformed
    yield "a number without end", signed(HEADER, text.replace("1000000", "9" * 2000).encode()), Refusal.RATE_LIMIT
    yield "NaN", signed(HEADER, text.replace("1000000", "NaN").encode()), malformed
    yield "Infinity for exp", signed(HEADER, text.replace("1803117600", "Infinity").encode()), malformed
    for twice in ('"sub":"me",', '"scope":"audit",', '"exp":9999999999,', '"x":{"a":1,"a":1},'):
        name = twice.split('"')[1]
        yield f"{name} twice", signed(HEADER, text.replace("{", "{" + twice, 1).encode()), Refusal.DUPLICATE
    escaped = text.replace("{", r'{"\u0073ub":"me",', 1)
    yield "sub twice, once with an escape", signed(HEADER, escaped.encode()), Refusal.DUPLICATE


def _claims(kind: Kind) -> Iterator[tuple[str, str, Refusal]]:
    claims = IDENTITY_CLAIMS if kind == "identity" else SERVICE_CLAIMS
    special = {"iss": Refusal.ISSUER, "aud": Refusal.AUDIENCE}

    def changed(name: str, value: Any) -> str:
        return signed(HEADER, claims | {name: value})

    for name in claims:
        refusal = special.get(name, Refusal.MISSING)
        yield f"no {name}", signed(HEADER, without(claims, name)), refusal
        yield f"{name} is null", changed(name, None), refusal
    for issuer in ("https://evil.example", ISSUER + "/", ISSUER.upper(), "", [ISSUER], {ISSUER: 1}, 1, True):
        yield f"iss {issuer!r}", changed("iss", issuer), Refusal.ISSUER
    for subject in (1, True, [claims["sub"]], {"sub": 1}, "", "two words", "a\r\nb", "a\0", "é", "\ud800", "x" * 400):
        yield f"sub {str(subject)[:20]!r}", changed("sub", subject), Refusal.SUBJECT
    for name in ("iat", "exp", "nbf"):
        for value in (1.0, 1795341650.0, 1e300, True, False, "1795341650", [1], -1, 253402300800, 10**40):
            yield f"{name} {str(value)[:20]}", changed(name, value), Refusal.TIMES
    yield "nbf is null", changed("nbf", None), Refusal.TIMES
    yield "ends as it begins", changed("exp", claims["iat"]), Refusal.TIMES
    yield "ends before it begins", changed("exp", claims["iat"] - 1), Refusal.TIMES
    yield "ends before it may be used", changed("nbf", claims["exp"]), Refusal.TIMES
    for jti in (1, True, "", ["a"], "j" * 200):
        yield f"jti {str(jti)[:20]!r}", changed("jti", jti), Refusal.ID
    later = {"iat": int(NOW) + 62, "exp": int(NOW) + 3600, "jti": f"{int(NOW) + 62}000"}
    yield "issued in the future", signed(HEADER, claims | later), Refusal.FUTURE
    yield "to be used in the future", changed("nbf", int(NOW) + 62), Refusal.FUTURE
    earlier = {"iat": int(NOW) - 3600, "exp": int(NOW), "jti": f"{int(NOW) - 3600}000"}
    yield "expired half a second ago", signed(HEADER, claims | earlier), Refusal.EXPIRED


def _service_claims() -> Iterator[tuple[str, str, Refusal]]:
    yield "an identity token", GOOD_IDENTITY, Refusal.AUDIENCE
    for audience in ("arsenal", "ARSENAL-IDENTITY", "", ["arsenal-identity"], [], {"arsenal-identity": 1}, 1, True):
        yield f"aud {audience!r}", service(aud=audience), Refusal.AUDIENCE
    for scope in ("admin", "issue admin", "issue,revoke", "issue  revoke", " issue", "issue ", "ISSUE", "issue issue"):
        yield f"scope {scope!r}", service(scope=scope), Refusal.SCOPE
    for other in (["issue"], {"issue": True}, 1, True):
        yield f"scope {other!r}", service(scope=other), Refusal.SCOPE
    for limit in (0, -1, -1_000_000, True, 1.5, 100.0, "100", [1], 1_000_000_001, 10**40):
        yield f"rate_limit {str(limit)[:20]}", service(rate_limit=limit), Refusal.RATE_LIMIT


def _identity_claims() -> Iterator[tuple[str, str, Refusal]]:
    yield "a service token", GOOD_SERVICE, Refusal.AUDIENCE
    for audience in ("arsenal-identity", "https://shop.example", ["a"], "", [], None, 0):
        yield f"aud {audience!r}", identity(aud=audience), Refusal.AUDIENCE
    upper = IDENTITY.replace("sports", "SPORTS")
    for subject in ("sports-book", IDENTITY.removesuffix(":id"), IDENTITY + "\n", upper, "-1@a/v1:id", f" {IDENTITY}"):
        yield f"sub {subject!r}", identity(sub=subject), Refusal.SUBJECT
    ms = str(LIFE.generated)
    for jti in (f"0{ms}", f"+{ms}", f" {ms}", f"{ms}.0", ms[:-3], str(LIFE.generated + 1000), "x", "١" * 13, "9" * 99):
        yield f"jti {jti[:20]!r}", identity(jti=jti), Refusal.ID


def _table() -> Iterator[Bad]:
    for rows in (_shapes(), _headers(), _signatures(), _payloads(), _claims("service"), _service_claims()):
        yield from (Bad(name, "service", token, refusal) for name, token, refusal in rows)
    for rows in (_claims("identity"), _identity_claims()):
        yield from (Bad(name, "identity", token, refusal) for name, token, refusal in rows)


BAD = tuple(_table())
"""Every known way to forge or damage a token, with the reason of the refusal."""


def _eddsa_table() -> Iterator[Bad]:
    header, claims = ed25519_header(), IDENTITY_CLAIMS
    good = signed_eddsa(header, claims)
    head, payload, signature = good.split(".")
    confused = public_pem(PRIVATE_KEY)
    twice = json.dumps(claims).replace("{", '{"sub":"a",', 1).encode()
    rows = [
        ("another key under our key's name", signed_eddsa(header, claims, OTHER_KEY), Refusal.SIGNATURE),
        ("one bit of the signature", f"{head}.{payload}.{flipped(signature)}", Refusal.SIGNATURE),
        ("half of the signature", f"{head}.{payload}.{signature[:40]}", Refusal.SIGNATURE),
        ("no signature", f"{head}.{payload}.", Refusal.SIGNATURE),
        ("another key", signed_eddsa(ed25519_header(OTHER_KEY), claims, OTHER_KEY), Refusal.ALGORITHM),
        ("no kid", signed_eddsa(without(header, "kid"), claims), Refusal.ALGORITHM),
        ("another way to write the header", signed_eddsa(header | {"typ": "jwt"}, claims), Refusal.ALGORITHM),
        ("HMAC under our key's name", signed(header, claims), Refusal.SIGNATURE),
        ("HS256 keyed with the public key", signed(HEADER, claims, confused), Refusal.SIGNATURE),
        ("HS256 with our key's kid", signed(header | {"alg": "HS256"}, claims, confused), Refusal.SIGNATURE),
        ("none", f"{part({'alg': 'none', 'typ': 'JWT'})}.{payload}.", Refusal.ALGORITHM),
        ("sub twice", signed_eddsa(header, twice), Refusal.DUPLICATE),
        ("a service token", signed_eddsa(header, SERVICE_CLAIMS), Refusal.AUDIENCE),
        ("another issuer", signed_eddsa(header, claims | {"iss": "https://evil.example"}), Refusal.ISSUER),
        ("expired", signed_eddsa(header, claims | {"exp": int(NOW)}), Refusal.EXPIRED),
    ]
    yield from (Bad(name, "identity", token, refusal) for name, token, refusal in rows)


BAD_EDDSA = tuple(_eddsa_table())
"""The same against an Ed25519 key."""
