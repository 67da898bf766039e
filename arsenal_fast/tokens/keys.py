"""The keys that sign and verify tokens.

Signing is hand-written, since it runs for every new identity: a prepared header, one HMAC or one Ed25519 signature,
base64url. The same life gives the same token in every process. PyJWT always verifies: header, algorithm and signature
(its JWS). The verified claims are checked by ``claims``: PyJWT would read its own clock (time is an argument here) and
allow repeated JSON members.

Each key has one algorithm, which no token can change: HS256 for the secrets, EdDSA for Ed25519 keys. An Ed25519 key is
looked up by the whole first part of the token, as we write it; a token that begins otherwise is tried with the secrets.
Service tokens use the secrets only: a verifier of identities need not be able to mint them. Nothing of a token beyond
MAX_TOKEN characters or of a wrong shape is parsed.

PyJWT is imported by the first verification or by ``prepare``. In a serving process that takes 2 MB and 15 ms of
CPU, with ``cryptography`` installed (it imports that too) 11 MB and 40 ms; the loop is blocked meanwhile.
"""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from json import dumps
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.secret import Secret
from arsenal_fast.tokens import claims as tokens
from arsenal_fast.tokens.claims import IdentitySigner, IdentityToken, Refusal, ServiceToken

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

HS256: Final = "HS256"
EDDSA: Final = "EdDSA"

MAX_PEM_KEYS: Final = 8  # the one that signs, the next one, and those of the last rotations
MAX_ISSUER: Final = 1024  # with it a token of the longest identity is within MAX_TOKEN

_SECONDS_A_DAY: Final = 86_400

# RFC 7468 section 2; what stands between the blocks is explanatory text.
_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----[^-]{1,4096}-----END \1-----")


class _Ed25519(NamedTuple):
    """One Ed25519 key, perhaps without its private part."""

    header: bytes
    jwk: dict[str, str]
    public: "Ed25519PublicKey"
    private: "Ed25519PrivateKey | None"


class Keys:
    """Signs and verifies tokens; raises ConfigurationError for keys that can't be used.

    ``secret`` signs service tokens and, without ``private_key_pem``, identity tokens; ``previous`` verifies
    only. ``private_key_pem`` has one or more PEM blocks: the first is the Ed25519 private key that signs
    identity tokens, the others (private or public) verify only, and all are in ``jwks``.
    """

    def __init__(
        self,
        secret: Secret,
        *,
        issuer: str,
        previous: Secret | None = None,
        private_key_pem: Secret | None = None,
    ) -> None:
        if len(issuer) > MAX_ISSUER:
            raise ConfigurationError([f"API_BASE_URL must have at most {MAX_ISSUER} characters to be put into tokens."])
        self.issuer = issuer
        """``iss`` of every token."""
        self._secrets = tuple(_encoded(each) for each in (secret, previous) if each is not None)
        self._secret_header = tokens.header(HS256)
        self._plain_header = self._secret_header.decode("ascii")
        pem_keys = () if private_key_pem is None else _read_pem(private_key_pem)
        self._known_headers = {key.header.decode("ascii"): key for key in pem_keys}
        if len(self._known_headers) != len(pem_keys):
            raise ConfigurationError(["JWT_PRIVATE_KEY has the same key twice."])
        self._jwks = {"keys": [key.jwk for key in pem_keys]}
        self._sign_secret = tokens.hs256(self._secrets[0])
        self.sign_identity = self._identity_signer(pem_keys).token
        """``sign_identity(identity, life)`` returns the token of this life of a valid id."""
        self._library: _Library | None = None

    def _identity_signer(self, pem_keys: "Sequence[_Ed25519]") -> IdentitySigner:
        if not pem_keys:
            return IdentitySigner(self._secret_header, self.issuer, partial(tokens.hs256, self._secrets[0]))
        private = pem_keys[0].private
        assert private is not None

        def signer(start: bytes) -> Callable[[bytes], bytes]:
            return lambda rest: private.sign(start + rest)

        return IdentitySigner(pem_keys[0].header, self.issuer, signer)

    def mint_service(
        self,
        subject: str,
        scopes: Sequence[str],
        rate_limit: int,
        days: float,
        now: float,
        jti: str | None = None,
        per_subject: int = 0,
    ) -> str:
        """Sign a service token of ``now`` (seconds); ValueError with one sentence where it would be refused.

        ``jti``: 22 characters of chance by default.
        """
        issued = int(now)
        expires = issued + round(days * _SECONDS_A_DAY)
        token = ServiceToken(subject, frozenset(scopes), rate_limit, expires, issued, per_subject)
        payload = tokens.service_payload(self.issuer, token, issued, jti or secrets.token_urlsafe(16))
        signing_input = self._secret_header + b"." + tokens.encode(payload)
        return (signing_input + b"." + tokens.encode(self._sign_secret(signing_input))).decode("ascii")

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the JWK Set (RFC 7517 section 5) of the Ed25519 keys; empty where there are none."""
        return self._jwks

    def verify_identity(self, token: str, now: float) -> IdentityToken | Refusal:
        """Verify an identity token at ``now`` (seconds); returns it, or why it is refused."""
        read = self.read_identity(token, now)
        if isinstance(read, IdentityToken) and read.expires_s <= now:
            return Refusal.EXPIRED
        return read

    def read_identity(self, token: str, now: float) -> IdentityToken | Refusal:
        """As ``verify_identity``, but accepts an expired token."""
        claims = self._claims(token, self._known_headers)
        return claims if isinstance(claims, Refusal) else tokens.identity_token(claims, self.issuer, now)

    def verify_service(self, token: str, now: float) -> ServiceToken | Refusal:
        """Verify a service token at ``now`` (seconds); returns it, or why it is refused."""
        claims = self._claims(token, {})
        read = claims if isinstance(claims, Refusal) else tokens.service_token(claims, self.issuer, now)
        if isinstance(read, Refusal):
            return read
        return Refusal.EXPIRED if read.expires <= now else read._replace(id=tokens.token_id(token))

    def prepare(self) -> None:
        """Import PyJWT now, so that the first verification does not wait for the import."""
        if self._library is None:
            self._library = _Library()

    def _claims(self, token: str, known_headers: "Mapping[str, _Ed25519]") -> dict[str, Any] | Refusal:
        """Return the claims of a token whose signature and header are valid; they are not checked."""
        if fault := tokens.shape_fault(token):
            return fault
        self.prepare()
        assert self._library is not None
        first, payload, _ = token.split(".")
        if known := known_headers.get(first):
            fault = self._library.fault(token, EDDSA, known.public)
        else:
            fault = self._library.fault(token, HS256, self._secrets)
            if fault is None and first != self._plain_header:  # our own header needs no check
                fault = tokens.header_fault(tokens.decode(first))
        if fault:
            return fault
        try:
            return tokens.strict_object(tokens.decode(payload))
        except tokens.DuplicateMember:
            return Refusal.DUPLICATE
        except (ValueError, RecursionError):
            return Refusal.MALFORMED


class _Library:
    """PyJWT's JWS (RFC 7515), which takes as a key of HS256 a tuple of secrets, any of which may have signed."""

    def __init__(self) -> None:
        # Imported here: it costs tens of milliseconds and megabytes, and signing does not need it.
        import jwt  # noqa: PLC0415
        from jwt.algorithms import HMACAlgorithm  # noqa: PLC0415

        class Secrets(HMACAlgorithm):
            """HS256 with any of our secrets, which were checked at the start."""

            def prepare_key(self, key: Any) -> Any:
                return key

            def check_key_length(self, _key: Any) -> str | None:
                return None

            def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
                return any(super(Secrets, self).verify(msg, each, sig) for each in key)

        jws = jwt.PyJWS(algorithms=[EDDSA])
        jws.register_algorithm(HS256, Secrets(HMACAlgorithm.SHA256))
        self._decode = jws.decode_complete
        self._invalid = jwt.InvalidTokenError
        self._refusals: tuple[tuple[type[Exception], Refusal], ...] = (
            (jwt.InvalidSignatureError, Refusal.SIGNATURE),
            (jwt.InvalidAlgorithmError, Refusal.ALGORITHM),
            (jwt.DecodeError, Refusal.MALFORMED),
            (jwt.InvalidTokenError, Refusal.HEADER),  # crit, kid
        )

    def fault(self, token: str, algorithm: str, key: Any) -> Refusal | None:
        """Return why PyJWT refuses the token, or None if its signature is one of this algorithm and key."""
        try:
            self._decode(token, key, algorithms=[algorithm])
        except self._invalid as error:
            return next(refusal for kind, refusal in self._refusals if isinstance(error, kind))
        except (ValueError, RecursionError):  # which older releases let through
            return Refusal.MALFORMED
        return None


def draw_secret() -> Secret:
    """Draw a secret for a service without one; its tokens end with the process. Call it before the workers fork."""
    return Secret(secrets.token_urlsafe(48))


def _encoded(secret: Secret) -> bytes:
    data = secret.reveal().encode("utf-8")
    if not data:
        raise ConfigurationError(["JWT_SECRET must not be empty."])
    return data


def _read_pem(pem: Secret) -> tuple[_Ed25519, ...]:
    """Parse the keys of a JWT_PRIVATE_KEY; raises ConfigurationError, whose sentences repeat nothing of it."""
    blocks = list(_PEM_BLOCK.finditer(pem.reveal()))
    if not 1 <= len(blocks) <= MAX_PEM_KEYS:
        raise _unusable(f"must be 1 to {MAX_PEM_KEYS} PEM blocks, not {len(blocks)}")
    keys = tuple(_read_block(number, block) for number, block in enumerate(blocks, 1))
    if keys[0].private is None:
        raise _unusable("begins with a public key: the first must be the private one that signs")
    return keys


def _read_block(number: int, block: re.Match[str]) -> _Ed25519:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 an extra, and 8 MB
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PrivateKey,
            Ed25519PublicKey,
        )
    except ImportError:
        raise _unusable("needs the package cryptography: pip install cryptography") from None
    label, data = block[1], block[0].encode("ascii", "replace")
    key: object = None
    try:
        if label == "PRIVATE KEY":
            key = serialization.load_pem_private_key(data, password=None)
        elif label == "PUBLIC KEY":
            key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return _ed25519(key.public_key(), key)
    if isinstance(key, Ed25519PublicKey):
        return _ed25519(key, None)
    raise _unusable(
        f"must hold Ed25519 keys without a password, as `openssl genpkey -algorithm ed25519` makes them; "
        f"block {number} is none"
    )


def _ed25519(public: "Ed25519PublicKey", private: "Ed25519PrivateKey | None") -> _Ed25519:
    """Return the key with its RFC 7638 thumbprint as id, the same on every replica; RFC 8037 section 2."""
    jwk = {"crv": "Ed25519", "kty": "OKP", "x": tokens.encode(public.public_bytes_raw()).decode("ascii")}
    thumbprint = sha256(dumps(jwk, separators=(",", ":")).encode("ascii")).digest()  # of the members in this order
    kid = tokens.encode(thumbprint).decode("ascii")
    return _Ed25519(tokens.header(EDDSA, kid), {**jwk, "kid": kid, "use": "sig", "alg": EDDSA}, public, private)


def _unusable(rest: str) -> ConfigurationError:
    return ConfigurationError([f"JWT_PRIVATE_KEY {rest}."])
