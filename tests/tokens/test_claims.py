"""The claims of tokens, their text, and refusals before and after the signature is verified."""

import hmac
import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast.identity.grammar import MAX_DOMAIN, split
from arsenal_fast.identity.validity import MAX_TTL, Life
from arsenal_fast.tokens import claims as tokens
from arsenal_fast.tokens.claims import LEEWAY, MAX_TOKEN, Peek, Refusal, ServiceToken
from tests.support.tokens import GOOD_SERVICE, IDENTITY, IDENTITY_CLAIMS, ISSUER, LIFE, NOW, SERVICE_CLAIMS

# RFC 7515 appendix A.1.
RFC_KEY = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
RFC_INPUT = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
RFC_SIGNATURE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def test_the_signature_is_that_of_the_rfcs_example() -> None:
    signature = tokens.hs256(tokens.decode(RFC_KEY))(RFC_INPUT.encode())
    assert tokens.encode(signature).decode() == RFC_SIGNATURE


@given(st.binary(max_size=200), st.binary(max_size=200), st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_a_signature_is_the_hmac_of_the_library_however_often_one_was_made(
    key: bytes, start: bytes, inputs: list[bytes]
) -> None:
    sign, onwards = tokens.hs256(key), tokens.hs256(key, start)
    assert [sign(each) for each in inputs] == [hmac.digest(key, each, "sha256") for each in inputs]
    assert [onwards(each) for each in inputs] == [sign(start + each) for each in inputs]


def test_the_rfcs_example_has_the_shape_of_a_token() -> None:
    assert tokens.shape_fault(f"{RFC_INPUT}.{RFC_SIGNATURE}") is None


@given(st.binary(max_size=40), st.binary(min_size=1, max_size=40), st.binary(max_size=40))
def test_whatever_octets_are_encoded_have_the_shape_of_a_token(first: bytes, second: bytes, third: bytes) -> None:
    text = ".".join(tokens.encode(octets).decode() for octets in (first or b"{}", second, third))
    assert tokens.shape_fault(text) is None
    assert [tokens.decode(part) for part in text.split(".")] == [first or b"{}", second, third]


@given(st.text("AQgwBZz09-_", max_size=9))
def test_a_part_has_one_spelling_only(part: str) -> None:
    """What is taken is what encode() writes of the bytes; anything else that decodes to them is refused."""
    try:
        canonical = tokens.encode(tokens.decode(part)).decode() == part
    except ValueError:  # a length that base64 can't have
        canonical = False
    assert (tokens.shape_fault(f"e30.e30.{part}") is None) is canonical


def test_the_bounds_of_the_shape() -> None:
    longest = "e30." + "AAAA" * 1022 + ".AAA"
    assert len(longest) == MAX_TOKEN
    assert tokens.shape_fault(longest) is None
    assert tokens.shape_fault(longest + "A") is Refusal.OVERSIZED
    assert tokens.shape_fault("A" * 256 + ".e30.") is None
    assert tokens.shape_fault("A" * 258 + ".e30.") is Refusal.MALFORMED
    assert tokens.shape_fault("A" * MAX_TOKEN) is Refusal.MALFORMED
    assert tokens.shape_fault("A" * (MAX_TOKEN + 1)) is Refusal.OVERSIZED


def payload_of(issuer: str, identity: str, life: Life) -> bytes:
    signer = tokens.IdentitySigner(tokens.header("HS256"), issuer, partial(tokens.hs256, b"k"))
    return tokens.decode(signer.token(identity, life).split(".")[1])


def test_the_longest_identity_makes_a_token_that_is_taken() -> None:
    identity = split(f"{'p' * 31}-{'1' * 32}@{('d' * 62 + '.') * 4}d/v999:id")
    assert len(identity.domain) == MAX_DOMAIN
    payload = payload_of("https://" + "h" * 1016, identity.id, LIFE)
    assert len(tokens.header("EdDSA", "k" * 43) + tokens.encode(payload)) + 88 < MAX_TOKEN


def test_a_header_has_one_spelling() -> None:
    assert tokens.decode(tokens.header("HS256").decode()) == b'{"alg":"HS256","typ":"JWT"}'
    assert tokens.decode(tokens.header("EdDSA", "k1").decode()) == b'{"alg":"EdDSA","kid":"k1","typ":"JWT"}'


@pytest.mark.parametrize("more", ["", "h", "hh", "hhh"])  # wherever base64 cuts what all tokens begin with
def test_an_identity_payload_is_the_json_of_its_claims(more: str) -> None:
    claims = {**IDENTITY_CLAIMS, "iss": ISSUER + more}
    assert payload_of(ISSUER + more, IDENTITY, LIFE) == json.dumps(claims, separators=(",", ":")).encode()


def test_an_issuer_can_not_break_out_of_the_json() -> None:
    payload = payload_of('a","sub":"b\n', IDENTITY, LIFE)
    assert tokens.strict_object(payload)["iss"] == 'a","sub":"b\n'


@given(st.integers(0, 4_000_000_000_000), st.integers(1, MAX_TTL))
def test_a_token_never_outlives_its_life(generated: int, ttl: int) -> None:
    life = Life(generated, generated + ttl * 1000)
    claims = tokens.strict_object(payload_of(ISSUER, IDENTITY, life))
    read = tokens.identity_token(claims, ISSUER, generated / 1000)
    assert read == (IDENTITY, generated, claims["exp"])
    assert life.expires - 1000 < claims["exp"] * 1000 <= life.expires


NOT_STRICT: list[tuple[bytes, type[Exception] | tuple[type[Exception], ...]]] = [
    (b"", ValueError),
    (b"[]", ValueError),
    (b"1", ValueError),
    (b"{}{}", ValueError),
    (b"\xef\xbb\xbf{}", ValueError),
    (b'{"a":NaN}', ValueError),
    (b'{"a":-Infinity}', ValueError),
    (b'{"a":' + b"9" * 5000 + b"}", ValueError),
    (b'{"a":"\xff"}', UnicodeDecodeError),
    ('{"a":1}'.encode("utf-16"), UnicodeDecodeError),
    ('{"a":1}'.encode("utf-32-be"), ValueError),
    (b'{"a":' * 3000, (RecursionError, ValueError)),
    (b'{"a":1,"a":1}', tokens.DuplicateMember),
    (b'{"a":1,"\\u0061":1}', tokens.DuplicateMember),
    (b'{"x":[{"a":1,"a":2}]}', tokens.DuplicateMember),
]


@pytest.mark.parametrize(("octets", "error"), NOT_STRICT)
def test_json_that_readers_may_understand_differently_is_none(
    octets: bytes, error: type[Exception] | tuple[type[Exception], ...]
) -> None:
    with pytest.raises(error):
        tokens.strict_object(octets)


def test_the_same_name_in_two_objects_is_no_duplicate() -> None:
    assert tokens.strict_object(b'{"a":{"a":1},"b":{"a":2}}') == {"a": {"a": 1}, "b": {"a": 2}}


@pytest.mark.parametrize("claims", [IDENTITY_CLAIMS, SERVICE_CLAIMS], ids=["identity", "service"])
def test_a_beginning_in_the_future_is_taken_up_to_the_leeway(claims: dict[str, Any]) -> None:
    read = tokens.service_token if "aud" in claims else tokens.identity_token
    begin = claims["iat"]
    assert not isinstance(read(claims, ISSUER, begin - LEEWAY), Refusal)
    assert read(claims, ISSUER, begin - LEEWAY - 0.001) is Refusal.FUTURE
    later = claims | {"nbf": begin + 100}
    assert not isinstance(read(later, ISSUER, begin + 100 - LEEWAY), Refusal)
    assert read(later, ISSUER, begin + 99.9 - LEEWAY) is Refusal.FUTURE


@pytest.mark.parametrize("claims", [IDENTITY_CLAIMS, SERVICE_CLAIMS], ids=["identity", "service"])
def test_claims_that_are_not_known_are_passed_over(claims: dict[str, Any]) -> None:
    read = tokens.service_token if "aud" in claims else tokens.identity_token
    assert read(claims | {"x": [1], "name": None}, ISSUER, NOW) == read(claims, ISSUER, NOW)
    assert not isinstance(read(claims, ISSUER, NOW), Refusal)


@pytest.mark.parametrize("claims", [IDENTITY_CLAIMS, SERVICE_CLAIMS], ids=["identity", "service"])
def test_each_claim_of_a_kind_must_be_there(claims: dict[str, Any]) -> None:
    read = tokens.service_token if "aud" in claims else tokens.identity_token
    for name in claims:
        rest = {other: value for other, value in claims.items() if other != name}
        assert read(rest, ISSUER, NOW) is {"aud": Refusal.AUDIENCE, "iss": Refusal.ISSUER}.get(name, Refusal.MISSING)


def test_neither_kind_passes_for_the_other() -> None:
    assert tokens.identity_token(SERVICE_CLAIMS, ISSUER, NOW) is Refusal.AUDIENCE
    assert tokens.service_token(IDENTITY_CLAIMS, ISSUER, NOW) is Refusal.AUDIENCE


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [("", set()), ("audit", {"audit"}), ("audit issue revoke", {"issue", "revoke", "audit"})],
)
def test_scopes_are_words_in_any_order(scope: str, scopes: set[str]) -> None:
    read = tokens.service_token(SERVICE_CLAIMS | {"scope": scope}, ISSUER, NOW)
    assert isinstance(read, ServiceToken)
    assert read.scopes == scopes


@pytest.mark.parametrize("subject", ["a", "sports-book", "ci@example.org", "svc:a/b.c~d+e_f", "x" * 128])
def test_subjects_that_are_taken(subject: str) -> None:
    read = tokens.service_token(SERVICE_CLAIMS | {"sub": subject}, ISSUER, NOW)
    assert isinstance(read, ServiceToken)
    assert read.subject == subject


def test_a_service_payload_is_read_as_it_was_meant() -> None:
    meant = ServiceToken("sports-book", frozenset({"audit", "issue"}), 7, int(NOW) + 60)
    claims = tokens.strict_object(tokens.service_payload(ISSUER, meant, int(NOW), "j"))
    assert claims["scope"] == "issue audit"
    assert tokens.service_token(claims, ISSUER, NOW) == meant


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        (ServiceToken("two words", frozenset(), 1, int(NOW) + 1), tokens.SUBJECT_RANGE),
        (ServiceToken("", frozenset(), 1, int(NOW) + 1), tokens.SUBJECT_RANGE),
        (ServiceToken("a", frozenset({"issue", "root"}), 1, int(NOW) + 1), "A scope is one of issue, revoke, audit"),
        (ServiceToken("a", frozenset(), 0, int(NOW) + 1), Refusal.RATE_LIMIT.sentence),
        (ServiceToken("a", frozenset(), 1, int(NOW)), Refusal.TIMES.sentence),
        (ServiceToken("a", frozenset(), 1, 10**12), Refusal.TIMES.sentence),
    ],
)
def test_a_service_payload_that_would_be_refused_is_not_written(token: ServiceToken, sentence: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$") as caught:
        tokens.service_payload(ISSUER, token, int(NOW), "j")
    assert str(caught.value).startswith(sentence)


def test_a_peek_shows_what_a_text_claims_to_be() -> None:
    seen = tokens.peek(GOOD_SERVICE[:-4] + "AAAA")
    assert seen == Peek({"alg": "HS256", "typ": "JWT"}, SERVICE_CLAIMS)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("A" * 5000, Refusal.OVERSIZED),
        ("a.b", Refusal.MALFORMED),
        ("e30.W10.", Refusal.MALFORMED),
        ("W10.e30.", Refusal.MALFORMED),
        ("e30." + tokens.encode(b'{"a":' * 600).decode() + ".", Refusal.MALFORMED),
        ("e30." + tokens.encode(b'{"a":1,"a":2}').decode() + ".", Refusal.DUPLICATE),
    ],
)
def test_a_peek_at_no_token_says_why(text: str, refusal: Refusal) -> None:
    assert tokens.peek(text) is refusal


@pytest.mark.parametrize("refusal", Refusal)
def test_each_reason_is_one_sentence_that_fits_into_a_quoted_string(refusal: Refusal) -> None:
    """RFC 6750 section 3 has it in WWW-Authenticate as error_description."""
    assert all(" " <= character <= "~" and character not in '"\\' for character in refusal.sentence)
    assert refusal.sentence.startswith("The ")
    assert refusal.sentence.endswith(".")
    assert ". " not in refusal.sentence
