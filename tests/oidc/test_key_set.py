"""Key sets: which keys are usable, and which algorithms they verify."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from arsenal_fast.oidc.key_set import MAX_KEYS, read_keys, verifies

RSA = rsa.generate_private_key(65_537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    kinds: Any = {rsa.RSAPrivateKey: "RSAAlgorithm", ec.EllipticCurvePrivateKey: "ECAlgorithm"}
    name = next((kinds[kind] for kind in kinds if isinstance(key, kind)), "OKPAlgorithm")
    public = json.loads(getattr(jwt.algorithms, name).to_jwk(key.public_key()))
    return {key: value for key, value in {**public, "kid": "k", **members}.items() if value is not None}


GOOD = [(RSA, "RS256"), (RSA, "PS512"), (EC, "ES256"), (ED, "EdDSA")]


@pytest.mark.parametrize(("key", "algorithm"), GOOD)
def test_a_signature_of_each_kind_of_key_verifies_and_of_no_other(key: Any, algorithm: str) -> None:
    token = jwt.encode({"sub": "a"}, key, algorithm, {"kid": "k"})
    public = read_keys({"keys": [jwk(key)]})["k"]
    assert verifies(token, public, algorithm)
    assert not verifies(token[:-4] + "AAAA", public, algorithm)
    for other, _ in GOOD:
        if other is not key:
            assert not verifies(token, jwk(other), algorithm)


def test_a_key_verifies_only_its_own_algorithm() -> None:
    token = jwt.encode({"sub": "a"}, RSA, "RS512")
    assert not verifies(token, jwk(RSA, alg="RS256"), "RS512")
    assert not verifies(token, jwk(RSA), "RS256"), "the header says RS512"
    assert not verifies(token, jwk(RSA), "HS256")
    assert not verifies(token, jwk(RSA), "none")
    assert not verifies(token, {**jwk(RSA), "e": "!"}, "RS512")


UNUSABLE = [
    jwk(RSA, kid=None),
    jwk(RSA, kid=7),
    jwk(RSA, use="enc"),
    jwk(RSA, alg="HS256"),
    jwk(rsa.generate_private_key(65_537, 1024)),
    {"kty": "oct", "k": "AAAA", "kid": "k"},
    {"kty": "EC", "crv": "secp256k1", "kid": "k"},
    {"kid": "k"},
    "no object",
]


@pytest.mark.parametrize("key", UNUSABLE)
def test_a_key_that_is_not_for_this_is_left_out(key: Any) -> None:
    with pytest.raises(ValueError, match="no key that can verify"):
        read_keys({"keys": [key]})
    assert set(read_keys({"keys": [key, jwk(EC, kid="good")]})) == {"good"}


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": [jwk(EC)] * (MAX_KEYS + 1)}, {"keys": []}])
def test_a_set_without_keys_or_with_too_many_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="key set"):
        read_keys(document)
