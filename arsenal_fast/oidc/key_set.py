"""The public keys of an issuer: a JWK Set (RFC 7517), and the verification of signatures with them by PyJWT.

Only asymmetric algorithms, and of a key only those of its type: a public key can't be used as an HMAC secret, whatever
the header of a token says (RFC 8725 section 3.1).
"""

from collections.abc import Mapping
from typing import Any, Final

MAX_KEYS: Final = 32
MIN_RSA_CHARACTERS: Final = 341
"""Characters of the base64url modulus of 2,048 bits (RFC 7518 section 3.3)."""

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE: Final = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA",)}
ALGORITHMS: Final = frozenset({*_RSA, *(name for names in _BY_CURVE.values() for name in names)})

Key = Mapping[str, Any]
"""One JWK."""


def read_keys(document: Mapping[str, Any]) -> dict[str, Key]:
    """Return the usable keys of a JWK Set by ``kid``; raises ValueError where there are none, or too many."""
    members = document.get("keys")
    if not isinstance(members, list) or len(members) > MAX_KEYS:
        raise ValueError(f"the key set has no list of at most {MAX_KEYS} keys")
    keys: dict[str, Key] = {each["kid"]: each for each in members if isinstance(each, dict) and _is_usable(each)}
    if not keys:
        raise ValueError("the key set has no key that can verify signatures")
    return keys


def verifies(token: str, key: Key, algorithm: str) -> bool:
    """Whether the signature of a well-formed token is of this key, with this algorithm."""
    import jwt  # noqa: PLC0415 as in tokens/keys.py: tens of milliseconds and megabytes

    if algorithm not in _algorithms(key):
        return False
    try:
        public = jwt.PyJWK(dict(key), algorithm)
        jwt.PyJWS().decode_complete(token, public, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return True


def _is_usable(key: Mapping[str, Any]) -> bool:
    return isinstance(key.get("kid"), str) and key.get("use", "sig") == "sig" and bool(_algorithms(key))


def _algorithms(key: Key) -> tuple[str, ...]:
    """Return the algorithms of a key by its type, narrowed by its ``alg``."""
    names: tuple[str, ...] = ()
    if key.get("kty") == "RSA":
        modulus = key.get("n")
        names = _RSA if isinstance(modulus, str) and len(modulus) >= MIN_RSA_CHARACTERS else ()
    elif key.get("kty") in ("EC", "OKP"):
        names = _BY_CURVE.get(str(key.get("crv")), ())
    return tuple(name for name in names if key.get("alg", name) == name)
