"""Signing by hand, verifying by the library: every forged or damaged token is refused, and for its reason.

PyJWT itself is the oracle of what is signed, as a consumer would use it.
"""

import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partialmethod
from itertools import pairwise
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.errors import ConfigurationError
from arsenal_fast.identity.validity import Life
from arsenal_fast.secret import Secret
from arsenal_fast.tokens import claims as tokens
from arsenal_fast.tokens import keys as jwt_keys
from arsenal_fast.tokens.claims import MAX_TOKEN, IdentityToken, Refusal, ServiceToken
from arsenal_fast.tokens.keys import Keys
from tests.support.tokens import (
    BAD,
    BAD_EDDSA,
    GOOD_IDENTITY,
    GOOD_SERVICE,
    HEADER,
    IDENTITY,
    IDENTITY_CLAIMS,
    ISSUER,
    LIFE,
    NOW,
    OTHER_KEY,
    PREVIOUS,
    PRIVATE_KEY,
    SECRET,
    SERVICE_CLAIMS,
    Bad,
    ed25519_header,
    eddsa_keys,
    hs256_keys,
    pem,
    public_pem,
    signed,
    signed_eddsa,
)

READ = IdentityToken(IDENTITY, LIFE.generated, LIFE.expires // 1000)
LONG_LIFE = Life(1_000, 4_000_000_000_000)
"""Good by the library's own clock, whenever a test runs."""

PAGE = Path(__file__).parents[2] / "docs" / "identity-and-trust.md"


def verify(keys: Keys, kind: str, token: str) -> IdentityToken | ServiceToken | Refusal:
    return keys.verify_identity(token, NOW) if kind == "identity" else keys.verify_service(token, NOW)


# Good tokens.


def test_what_is_signed_is_verified() -> None:
    for keys in (hs256_keys(), eddsa_keys()):
        assert keys.verify_identity(keys.sign_identity(IDENTITY, LIFE), NOW) == READ


def test_an_hs256_token_is_octet_for_octet_what_the_library_would_write() -> None:
    assert hs256_keys().sign_identity(IDENTITY, LIFE) == jwt.encode(IDENTITY_CLAIMS, SECRET, "HS256")


def test_an_eddsa_token_is_octet_for_octet_what_the_library_would_write() -> None:
    kid = ed25519_header()["kid"]
    written = jwt.encode(IDENTITY_CLAIMS, PRIVATE_KEY, "EdDSA", headers={"kid": kid})
    assert eddsa_keys().sign_identity(IDENTITY, LIFE) == written


def test_the_same_life_gives_the_same_token_in_every_process() -> None:
    program = (
        "from tests.support.tokens import *\n"
        "print(hs256_keys().sign_identity(IDENTITY, LIFE), eddsa_keys().sign_identity(IDENTITY, LIFE))"
    )
    expected = [hs256_keys().sign_identity(IDENTITY, LIFE), eddsa_keys().sign_identity(IDENTITY, LIFE)]
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            cwd=PAGE.parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == expected


def test_another_life_gives_another_token() -> None:
    """Even one that begins within the same second."""
    keys = hs256_keys()
    later = Life(LIFE.generated + 1, LIFE.expires)
    assert keys.sign_identity(IDENTITY, LIFE) != keys.sign_identity(IDENTITY, later)


def test_an_identity_token_ends_when_it_says() -> None:
    keys, end = hs256_keys(), LIFE.expires // 1000
    assert keys.verify_identity(GOOD_IDENTITY, end - 0.001) == READ
    assert keys.verify_identity(GOOD_IDENTITY, end) is Refusal.EXPIRED
    assert keys.read_identity(GOOD_IDENTITY, end + 10**9) == READ


def test_a_service_token_ends_when_it_says() -> None:
    keys, end = hs256_keys(), SERVICE_CLAIMS["exp"]
    assert keys.verify_service(GOOD_SERVICE, end - 0.001) == ServiceToken(
        "sports-book", frozenset({"issue", "revoke"}), 1_000_000, end
    )
    assert keys.verify_service(GOOD_SERVICE, end) is Refusal.EXPIRED


def test_an_expired_token_is_read_only_if_it_is_ours() -> None:
    expired = IDENTITY_CLAIMS | {"exp": int(NOW)}
    assert isinstance(hs256_keys().read_identity(signed(HEADER, expired), NOW), IdentityToken)
    assert hs256_keys().read_identity(signed(HEADER, expired, PREVIOUS), NOW) is Refusal.SIGNATURE


def test_a_header_written_otherwise_is_the_same_header() -> None:
    spaced = b'{ "typ" : "JWT", "kid": "a", "alg":"HS256" }'
    assert isinstance(hs256_keys().verify_service(signed(spaced, SERVICE_CLAIMS), NOW), ServiceToken)


# Bad tokens.


def _names(bad: Bad) -> str:
    return f"{bad.kind}: {bad.name}"


def test_the_table_has_no_row_twice_and_every_reason() -> None:
    assert len({_names(bad) for bad in BAD}) == len(BAD)
    assert {bad.refusal for bad in BAD} == set(Refusal)


@pytest.mark.parametrize("bad", BAD, ids=_names)
def test_a_bad_token_is_refused_with_its_reason(bad: Bad) -> None:
    assert verify(hs256_keys(), bad.kind, bad.token) is bad.refusal


def test_a_second_secret_and_public_keys_change_no_reason() -> None:
    rotating = Keys(Secret(SECRET), issuer=ISSUER, previous=Secret(PREVIOUS), private_key_pem=Secret(pem(PRIVATE_KEY)))
    for bad in BAD:
        assert verify(rotating, bad.kind, bad.token) is bad.refusal, bad.name


@pytest.mark.parametrize("bad", BAD_EDDSA, ids=_names)
def test_a_bad_eddsa_token_is_refused_with_its_reason(bad: Bad) -> None:
    assert verify(eddsa_keys(), bad.kind, bad.token) is bad.refusal


def test_no_reason_repeats_the_token() -> None:
    """They are constants, for any content of a token."""
    assert all(type(bad.refusal.sentence) is str and "sports" not in bad.refusal.sentence for bad in BAD)


KEYS = hs256_keys()
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\0é\ud800"


@given(st.integers(0, len(GOOD_SERVICE) - 1), st.sampled_from(ALPHABET))
def test_no_octet_of_a_token_can_be_another(place: int, character: str) -> None:
    changed = GOOD_SERVICE[:place] + character + GOOD_SERVICE[place + 1 :]
    refused = isinstance(KEYS.verify_service(changed, NOW), Refusal)
    assert refused is (changed != GOOD_SERVICE)


@given(st.integers(0, len(GOOD_IDENTITY)), st.integers(0, len(GOOD_IDENTITY)), st.text(ALPHABET, max_size=3))
def test_no_cut_and_no_insertion_leaves_a_token_good(start: int, end: int, text: str) -> None:
    changed = GOOD_IDENTITY[:start] + text + GOOD_IDENTITY[end:]
    refused = isinstance(KEYS.verify_identity(changed, NOW), Refusal)
    assert refused is (changed != GOOD_IDENTITY)


@given(st.one_of(st.text(), st.text("eyJ0.-_=", max_size=40)))
def test_no_text_is_a_token_or_raises(text: str) -> None:
    assert isinstance(KEYS.verify_identity(text, NOW), Refusal)
    assert isinstance(KEYS.verify_service(text, NOW), Refusal)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


@given(st.sampled_from([*SERVICE_CLAIMS, "nbf"]), json_values)
def test_no_value_of_a_claim_raises(name: str, value: Any) -> None:
    """Signed with our own secret, so that everything behind the signature is reached."""
    for claims in (SERVICE_CLAIMS, IDENTITY_CLAIMS):
        token = signed(HEADER, claims | {name: value})
        assert isinstance(KEYS.verify_service(token, NOW), Refusal | ServiceToken)
        assert isinstance(KEYS.verify_identity(token, NOW), Refusal | IdentityToken)


@given(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk", "x"]), json_values)
def test_no_value_of_a_header_parameter_raises(name: str, value: Any) -> None:
    read = KEYS.verify_service(signed(HEADER | {name: value}, SERVICE_CLAIMS), NOW)
    harmless = type(value) is str and (name == "kid" or HEADER.get(name) == value)
    assert isinstance(read, ServiceToken) is harmless


# What a bad token can cost.


class Counted:
    """Counts the calls that reach a real function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.calls = 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        return self.function(*arguments, **named)


def test_a_bad_token_costs_at_most_one_call_of_the_library_and_one_hmac_for_each_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The work of a good one; what a long one costs above it, `python -m bench --scenario tokens` measures."""
    decode, digest = Counted(jwt.PyJWS.decode_complete), Counted(hmac.new)
    monkeypatch.setattr(jwt.PyJWS, "decode_complete", partialmethod(decode))
    monkeypatch.setattr(hmac, "new", digest)  # what the library calls
    keys = hs256_keys(previous=PREVIOUS)
    costs = set()
    for bad in BAD:
        decode.calls = digest.calls = 0
        assert verify(keys, bad.kind, bad.token) is bad.refusal
        costs.add((decode.calls, digest.calls))
    assert costs == {
        (0, 0),  # misshapen or oversized
        (1, 0),  # another algorithm
        (1, 1),  # its signature holds
        (1, 2),  # its signature holds for no secret
    }


def test_nothing_of_an_oversized_or_misshapen_token_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No library, no base64, no JSON: a length and one pass of an expression."""

    def explode(*_arguments: Any, **_named: Any) -> None:
        raise AssertionError("something was parsed")

    monkeypatch.setattr(jwt.PyJWS, "decode_complete", explode)
    monkeypatch.setattr(tokens, "urlsafe_b64decode", explode)
    monkeypatch.setattr(json, "loads", explode)
    keys = hs256_keys()
    for text in ("A" * (MAX_TOKEN + 1), "e30." * 10**6, GOOD_SERVICE + "A" * MAX_TOKEN):
        assert keys.verify_service(text, NOW) is Refusal.OVERSIZED
        assert keys.verify_identity(text, NOW) is Refusal.OVERSIZED
    for text in ("A" * MAX_TOKEN, "." * MAX_TOKEN, GOOD_SERVICE + "\n", "A" * 300 + GOOD_SERVICE, "a.b"):
        assert keys.verify_service(text, NOW) is Refusal.MALFORMED
    with pytest.raises(AssertionError, match="something was parsed"):
        keys.verify_service(GOOD_SERVICE, NOW)


def test_the_library_is_imported_by_the_first_token_that_needs_it() -> None:
    """Signing, minting and refusing by shape work without it, and so does a start."""
    program = (
        "import sys\n"
        "from arsenal_fast.tokens.keys import Keys\n"
        "from arsenal_fast.identity.validity import Life\n"
        "from arsenal_fast.secret import Secret\n"
        "keys = Keys(Secret('s' * 40), issuer='https://a.example')\n"
        "token = keys.sign_identity('a-1@b/v1:id', Life(1000, 9000))\n"
        "keys.mint_service('a', ['issue'], 1, 1, 5.0)\n"
        "keys.verify_identity('A' * 5000, 5.0); keys.verify_identity(token + '=', 5.0)\n"
        "before = {'jwt', 'cryptography'} & set(sys.modules)\n"
        "print(before, keys.verify_identity(token, 5.0), 'jwt' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set() IdentityToken(id='a-1@b/v1:id', generated_ms=1000, expires_s=9) True\n"


def test_what_was_prepared_is_not_prepared_again() -> None:
    keys = hs256_keys()
    keys.prepare()
    library = keys._library
    keys.prepare()
    keys.verify_service(GOOD_SERVICE, NOW)
    assert library is not None
    assert keys._library is library


# Keys and their rotation.


def test_the_previous_secret_verifies_and_does_not_sign() -> None:
    before, after = hs256_keys(PREVIOUS), hs256_keys(SECRET, previous=PREVIOUS)
    old, new = before.sign_identity(IDENTITY, LIFE), after.sign_identity(IDENTITY, LIFE)
    assert old != new
    assert after.verify_identity(old, NOW) == after.verify_identity(new, NOW) == READ
    service = before.mint_service("bot", ["audit"], 5, 1, NOW)
    assert isinstance(after.verify_service(service, NOW), ServiceToken)
    assert hs256_keys(SECRET).verify_identity(old, NOW) is Refusal.SIGNATURE
    assert hs256_keys(SECRET).verify_service(service, NOW) is Refusal.SIGNATURE
    assert before.verify_identity(new, NOW) is Refusal.SIGNATURE


def test_in_each_step_of_a_rolling_rotation_every_replica_takes_what_any_other_signs() -> None:
    """docs/identity-and-trust.md: the new secret verifies before it signs."""
    steps = [hs256_keys("old" * 12), hs256_keys("old" * 12, previous="new" * 12)]
    steps += [hs256_keys("new" * 12, previous="old" * 12), hs256_keys("new" * 12)]
    for one, other in pairwise(steps):
        if other is not steps[-1]:  # the last step waits until the old tokens have expired
            assert other.verify_identity(one.sign_identity(IDENTITY, LIFE), NOW) == READ
        assert one.verify_identity(other.sign_identity(IDENTITY, LIFE), NOW) == READ


def test_tokens_of_the_secret_are_taken_after_a_private_key_was_added() -> None:
    assert eddsa_keys().verify_identity(GOOD_IDENTITY, NOW) == READ
    assert eddsa_keys().verify_service(GOOD_SERVICE, NOW) == hs256_keys().verify_service(GOOD_SERVICE, NOW)
    assert isinstance(eddsa_keys().verify_service(eddsa_keys().mint_service("a", [], 1, 1, NOW), NOW), ServiceToken)


def test_without_its_key_an_eddsa_token_is_none() -> None:
    token = eddsa_keys().sign_identity(IDENTITY, LIFE)
    assert hs256_keys().verify_identity(token, NOW) is Refusal.ALGORITHM


def test_the_first_block_signs_and_all_blocks_verify() -> None:
    old = eddsa_keys(pem(OTHER_KEY)).sign_identity(IDENTITY, LIFE)
    for behind in (pem(OTHER_KEY), public_pem(OTHER_KEY), "a comment between\n" + public_pem(OTHER_KEY)):
        keys = eddsa_keys(pem(PRIVATE_KEY), behind)
        assert keys.verify_identity(old, NOW) == READ
        assert keys.sign_identity(IDENTITY, LIFE) == signed_eddsa(ed25519_header(), IDENTITY_CLAIMS)
        assert [key["kid"] for key in keys.jwks()["keys"]] == [
            ed25519_header()["kid"],
            ed25519_header(OTHER_KEY)["kid"],
        ]


def test_the_jwk_is_that_of_the_rfcs_example() -> None:
    """RFC 8037 appendix A.1 to A.3."""
    octets = tokens.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    keys = eddsa_keys(pem(Ed25519PrivateKey.from_private_bytes(octets)))
    assert keys.jwks() == {
        "keys": [
            {
                "crv": "Ed25519",
                "kty": "OKP",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
                "use": "sig",
                "alg": "EdDSA",
            }
        ]
    }


def test_without_a_private_key_there_is_nothing_to_publish() -> None:
    assert hs256_keys().jwks() == {"keys": []}


def ec_pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def encrypted_pem() -> str:
    return PRIVATE_KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"hunter22"),
    ).decode()


UNUSABLE = [
    ("", "must be 1 to 8 PEM blocks, not 0"),
    ("hunter22", "must be 1 to 8 PEM blocks, not 0"),
    (pem(PRIVATE_KEY).replace("END", "FIN"), "must be 1 to 8 PEM blocks, not 0"),
    (pem(PRIVATE_KEY) * 9, "must be 1 to 8 PEM blocks, not 9"),
    (pem(PRIVATE_KEY) * 2, "has the same key twice"),
    (pem(PRIVATE_KEY) + public_pem(PRIVATE_KEY), "has the same key twice"),
    (public_pem(PRIVATE_KEY), "begins with a public key"),
    (ec_pem(), "block 1 is none"),
    (encrypted_pem(), "block 1 is none"),
    (pem(PRIVATE_KEY) + pem(PRIVATE_KEY).replace("PRIVATE", "EC PRIVATE"), "block 2 is none"),
    (pem(PRIVATE_KEY).replace("M", "é"), "block 1 is none"),
    (re.sub(r"\n.{20}", "\n", pem(PRIVATE_KEY), count=1), "block 1 is none"),
]


@pytest.mark.parametrize(("text", "sentence"), UNUSABLE)
def test_a_private_key_that_can_not_be_used_is_told_without_being_shown(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        eddsa_keys(text) if text else Keys(Secret(SECRET), issuer=ISSUER, private_key_pem=Secret(""))
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith("JWT_PRIVATE_KEY ")
    assert sentence in caught.value.faults[0]
    assert "hunter22" not in str(caught.value)
    assert not set(text.split()) & set(str(caught.value).split()) - {"PRIVATE", "KEY", "a"}


def test_a_private_key_without_the_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"^JWT_PRIVATE_KEY needs .* pip install 'arsenal-fast\[eddsa\]'\.$"):
        eddsa_keys()


def test_hs256_does_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from arsenal_fast.tokens.keys import Keys\n"
        "from arsenal_fast.identity.validity import Life\n"
        "from arsenal_fast.secret import Secret\n"
        "keys = Keys(Secret('s' * 40), issuer='https://a.example')\n"
        "print(keys.verify_identity(keys.sign_identity('a-1@b/v1:id', Life(1000, 9000)), 5.0).id)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "a-1@b/v1:id\n"


def test_an_empty_secret_and_an_endless_issuer_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^JWT_SECRET must not be empty\.$"):
        hs256_keys("")
    with pytest.raises(ConfigurationError, match=r"^API_BASE_URL must have at most 1024"):
        hs256_keys(issuer="https://a.example/" + "p" * 1024)


@pytest.mark.parametrize("secret", ["short", "geheim, aber ü", '{"kty":"oct","k":"AAAA"}', "ssh-rsa AAAA"])
def test_any_text_may_be_the_secret(secret: str) -> None:
    """Also what the library would take for a key of another kind, or warn of; start-up judges that."""
    keys = hs256_keys(secret)
    assert keys.verify_identity(keys.sign_identity(IDENTITY, LIFE), NOW) == READ


def test_keys_do_not_show_themselves() -> None:
    for keys in (hs256_keys(previous=PREVIOUS), eddsa_keys()):
        keys.prepare()
        assert SECRET not in repr(keys) + str(keys)


def test_a_drawn_secret_is_long_and_another_each_time() -> None:
    drawn = {jwt_keys.draw_secret().reveal() for _ in range(8)}
    assert len(drawn) == 8
    assert min(len(secret) for secret in drawn) >= 64


# Service tokens.


def test_a_minted_token_allows_what_was_said() -> None:
    token = hs256_keys().mint_service("sports-book", ["revoke", "issue"], 1_000_000, 90, NOW)
    assert hs256_keys().verify_service(token, NOW) == ServiceToken(
        "sports-book", frozenset({"issue", "revoke"}), 1_000_000, int(NOW) + 90 * 86_400
    )
    assert jwt.decode(token, SECRET, ["HS256"], audience="arsenal-identity", options={"verify_iat": False})


def test_minted_tokens_differ_by_their_jti() -> None:
    keys = hs256_keys()
    assert len({keys.mint_service("a", [], 1, 1, NOW) for _ in range(8)}) == 8
    assert keys.mint_service("a", [], 1, 1, NOW, "j") == keys.mint_service("a", [], 1, 1, NOW, "j")


def test_what_would_be_refused_is_not_minted() -> None:
    keys = hs256_keys()
    for arguments in (("a b", [], 1, 1), ("a", ["root"], 1, 1), ("a", [], 0, 1), ("a", [], 1, 0), ("a", [], 1, 10**9)):
        with pytest.raises(ValueError, match=r"\.$"):
            keys.mint_service(*arguments, NOW)


# Offline, as the documentation has it.


def examples() -> dict[str, Any]:
    """What the page's Python blocks define."""
    namespace: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, namespace)
    return namespace


def test_who_shares_the_secret_verifies_offline_as_documented() -> None:
    by_secret = examples()["identity_by_secret"]
    keys = hs256_keys()
    assert by_secret(keys.sign_identity(IDENTITY, LONG_LIFE), SECRET, ISSUER) == IDENTITY
    for bad in (
        keys.mint_service("a", ["issue"], 1, 30_000, 1.0),
        keys.sign_identity(IDENTITY, Life(1_000, 2_000)),
        hs256_keys(PREVIOUS).sign_identity(IDENTITY, LONG_LIFE),
        hs256_keys(issuer="https://other.example").sign_identity(IDENTITY, LONG_LIFE),
        eddsa_keys().sign_identity(IDENTITY, LONG_LIFE),
    ):
        with pytest.raises(jwt.InvalidTokenError):
            by_secret(bad, SECRET, ISSUER)


def test_everybody_verifies_offline_with_the_jwks_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    by_jwks = examples()["identity_by_jwks"]
    keys = eddsa_keys(pem(PRIVATE_KEY), public_pem(OTHER_KEY))
    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", lambda _self: keys.jwks())
    client = jwt.PyJWKClient(ISSUER + "/.well-known/jwks.json")
    for signer in (keys, eddsa_keys(pem(OTHER_KEY))):
        assert by_jwks(signer.sign_identity(IDENTITY, LONG_LIFE), client, ISSUER) == IDENTITY
    kid = ed25519_header()["kid"]
    for bad in (
        signed_eddsa(ed25519_header(), IDENTITY_CLAIMS | {"iat": 1, "exp": 2}),
        signed_eddsa(ed25519_header(), IDENTITY_CLAIMS | {"iat": 1, "exp": 4 * 10**9}, OTHER_KEY),
        signed(HEADER | {"kid": kid}, IDENTITY_CLAIMS | {"iat": 1, "exp": 4 * 10**9}, public_pem(PRIVATE_KEY)),
    ):
        with pytest.raises(jwt.InvalidTokenError):
            by_jwks(bad, client, ISSUER)


@pytest.mark.parametrize("ahead_s", [5, 50])
def test_a_token_of_a_clock_that_is_seconds_ahead_verifies_offline_as_documented(
    ahead_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyJWT refuses an ``iat`` of the future (``ImmatureSignatureError``) without a leeway."""
    begin_ms = (int(time.time()) + ahead_s) * 1000
    life = Life(begin_ms, begin_ms + 60_000)
    assert examples()["identity_by_secret"](hs256_keys().sign_identity(IDENTITY, life), SECRET, ISSUER) == IDENTITY
    keys = eddsa_keys()
    monkeypatch.setattr(jwt.PyJWKClient, "fetch_data", lambda _self: keys.jwks())
    client = jwt.PyJWKClient(ISSUER + "/.well-known/jwks.json")
    assert examples()["identity_by_jwks"](keys.sign_identity(IDENTITY, life), client, ISSUER) == IDENTITY
