"""The grammar of identities. The oracle for addr-specs is email-validator."""

import itertools
import re

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from arsenal_fast.errors import InvalidIdentity
from arsenal_fast.identity import grammar
from arsenal_fast.identity.grammar import Identity, Malformed, compose, parse

DOMAIN_OF_253 = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])

PREFIXES = st.from_regex(r"[A-Za-z0-9_]{1,8}(\.[A-Za-z0-9_]{1,8}){0,2}\.?", fullmatch=True)
RUNS = st.from_regex(r"\.?[A-Za-z0-9_-]{1,8}(\.[A-Za-z0-9_-]{1,8}){0,2}", fullmatch=True)
DOMAINS = st.from_regex(r"([a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?\.){0,3}[a-z0-9]{1,6}", fullmatch=True)
VERSIONS = st.from_regex(r"v[0-9]{1,3}", fullmatch=True)
IDENTITIES = st.builds(Identity, PREFIXES, RUNS, DOMAINS, VERSIONS)
# Few letters, so that dots, hyphens and the marks of the grammar meet at every place.
NEAR_MISSES = st.text(alphabet="aA0_.-@/:vid", max_size=24)
ANY_TEXT = st.text(st.characters(), max_size=30)  # with lone surrogates and line ends

# Each is an example of characters beyond ASCII letters and digits that pass a careless check.
HOSTILE = {
    "line end": "\n",
    "carriage return": "\r",
    "NUL": "\x00",
    "delete": "\x7f",
    "space": " ",
    "tab": "\t",
    "quote": '"',
    "apostrophe": "'",
    "backslash": "\\",
    "comma": ",",
    "less than": "<",
    "ampersand": "&",
    "dollar": "$",
    "percent": "%",
    "plus": "+",
    "at": "@",
    "colon": ":",
    "slash": "/",
    "brace": "{",
    "next line": "\x85",
    "no-break space": "\xa0",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "zero-width space": "\u200b",
    "right-to-left override": "\u202e",
    "byte order mark": "\ufeff",
    "Arabic-Indic digit": "\u0663",
    "full-width digit": "\uff11",
    "superscript digit": "\xb2",
    "Cyrillic a": "\u0430",
    "full-width letter": "\uff41",
    "sharp s": "\xdf",
    "long s, folds to s": "\u017f",
    "Kelvin sign, folds to k": "\u212a",
    "dotted capital I": "\u0130",
    "lone surrogate": "\ud800",
    "astral letter": "\U0001d44e",
}

GOOD = {
    "the guide's own": (
        "player-123456@sports.api.yourbook.com/v1:id",
        ("player", "123456", "sports.api.yourbook.com", "v1"),
    ),
    "a word as run": ("player-test@a.b/v1:id", ("player", "test", "a.b", "v1")),
    "the first hyphen ends the prefix": ("a-b-c@d/v1:id", ("a", "b-c", "d", "v1")),
    "a run of hyphens": ("a----@d/v1:id", ("a", "---", "d", "v1")),
    "leading zeros are kept": ("a-007@d/v007:id", ("a", "007", "d", "v007")),
    "case of the local part is kept": ("Ab-Cd@d/v1:id", ("Ab", "Cd", "d", "v1")),
    "the domain is folded": ("a-b@ExAmPlE.COM/v1:id", ("a", "b", "example.com", "v1")),
    "a dot before the hyphen": ("a.-b@d/v1:id", ("a.", "b", "d", "v1")),
    "a dot after the hyphen": ("a-.b@d/v1:id", ("a", ".b", "d", "v1")),
    "dots on both sides of it": ("a.-.b@d/v1:id", ("a.", ".b", "d", "v1")),
    "inner dots": ("a.b_c-d.e@x-y.z0/v999:id", ("a.b_c", "d.e", "x-y.z0", "v999")),
    "an all-digit label": ("a-1@1.2.3.4/v1:id", ("a", "1", "1.2.3.4", "v1")),
    "hyphens within a label": ("a-1@x--y.z/v1:id", ("a", "1", "x--y.z", "v1")),
    "a UUID": (
        "ci-0f8fad5b-d9cb-469f-a165-70867728950e@d/v1:id",
        ("ci", "0f8fad5b-d9cb-469f-a165-70867728950e", "d", "v1"),
    ),
    "the longest prefix": (f"{'p' * 62}-r@d/v1:id", ("p" * 62, "r", "d", "v1")),
    "the longest run": (f"p-{'r' * 62}@d/v1:id", ("p", "r" * 62, "d", "v1")),
    "the longest label": (f"p-r@{'a' * 63}/v1:id", ("p", "r", "a" * 63, "v1")),
    "the longest of all": (
        f"{'p' * 31}-{'r' * 32}@{DOMAIN_OF_253}/v999:id",
        ("p" * 31, "r" * 32, DOMAIN_OF_253, "v999"),
    ),
}

BAD = {
    "nothing": ("", "'@'"),
    "no at sign": ("player-1", "'@'"),
    "no ending": ("player-1@d", "/version:id"),
    "no version": ("player-1@d:id", "/version:id"),
    "another ending": ("player-1@d/v1", "/version:id"),
    "another kind": ("player-1@d/v1:ID", "/version:id"),
    "more after the ending": ("player-1@d/v1:id ", "/version:id"),
    "a line end after the ending": ("player-1@d/v1:id\n", "/version:id"),
    "no hyphen": ("player@d/v1:id", "'-'"),
    "no prefix": ("-1@d/v1:id", "prefix must"),
    "a leading dot": (".a-1@d/v1:id", "prefix must"),
    "a lone dot as prefix": (".-1@d/v1:id", "prefix must"),
    "a double dot in the prefix": ("a..b-1@d/v1:id", "prefix must"),
    "a double dot before the hyphen": ("a..-1@d/v1:id", "prefix must"),
    "a prefix of 63": (f"{'p' * 63}-1@d/v1:id", "prefix must"),
    "no run": ("a-@d/v1:id", "run must"),
    "a trailing dot": ("a-1.@d/v1:id", "run must"),
    "a lone dot as run": ("a-.@d/v1:id", "run must"),
    "a double dot after the hyphen": ("a-..1@d/v1:id", "run must"),
    "a double dot in the run": ("a-1..2@d/v1:id", "run must"),
    "a run of 63": (f"a-{'1' * 63}@d/v1:id", "run must"),
    "a local part of 65": (f"{'p' * 32}-{'1' * 32}@d/v1:id", "at most 64"),
    "no domain": ("a-1@/v1:id", "domain must"),
    "two at signs": ("a-1@b@c/v1:id", "domain must"),
    "an empty label": ("a-1@b..c/v1:id", "domain must"),
    "a leading dot in the domain": ("a-1@.b/v1:id", "domain must"),
    "a trailing dot in the domain": ("a-1@b./v1:id", "domain must"),
    "a label beginning with a hyphen": ("a-1@-b.c/v1:id", "domain must"),
    "a label ending with a hyphen": ("a-1@b-.c/v1:id", "domain must"),
    "a lone hyphen as label": ("a-1@b.-/v1:id", "domain must"),
    "an underscore in the domain": ("a-1@b_c/v1:id", "domain must"),
    "a domain literal": ("a-1@[10.0.0.1]/v1:id", "domain must"),
    "a port": ("a-1@b:80/v1:id", "domain must"),
    "a label of 64": (f"a-1@{'a' * 64}/v1:id", "domain must"),
    "a domain of 254": (f"a-1@{DOMAIN_OF_253}d/v1:id", "domain must"),
    "a version without digits": ("a-1@d/v:id", "version must"),
    "a version of four digits": ("a-1@d/v1000:id", "version must"),
    "a capital V": ("a-1@d/V1:id", "version must"),
    "a version with a sign": ("a-1@d/v-1:id", "version must"),
    "two slashes": ("a-1@d/x/v1:id", "version must"),
    "two endings": ("a-1@d/v1:id/v1:id", "version must"),
    "a mebibyte": ("a" * 1_048_576, "at most 326"),
}


def fault_of(text: str) -> str | None:
    read = parse(text)
    return read.reason if isinstance(read, Malformed) else None


@pytest.mark.parametrize(("text", "parts"), GOOD.values(), ids=GOOD)
def test_a_good_text_gives_its_four_parts(text: str, parts: tuple[str, str, str, str]) -> None:
    assert parse(text) == Identity(*parts)
    assert compose(*parts) == Identity(*parts)
    assert grammar.parts_fault(*parts) is None


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_a_bad_text_is_refused_with_what_is_wrong(text: str, said: str) -> None:
    fault = fault_of(text)
    assert fault is not None
    assert said in fault


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("whole", ["player-12@book.com/v1:id"])
def test_a_hostile_character_is_refused_at_every_place(whole: str, hostile: str) -> None:
    for place in range(len(whole) + 1):
        fault = fault_of(whole[:place] + hostile + whole[place:])
        assert fault is not None, place
        assert fault.isascii()
        assert fault.isprintable()


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_character_is_refused_in_every_part(hostile: str) -> None:
    checks = (
        (grammar.prefix_fault, "ab"),
        (grammar.run_fault, "12"),
        (grammar.domain_fault, "ab"),
        (grammar.version_fault, "v1"),
    )
    for check, good in checks:
        assert check(good) is None
        for place in range(len(good) + 1):
            fault = check(good[:place] + hostile + good[place:])
            assert fault is not None
            assert fault == check(""), "one constant sentence, whatever came"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("a-b", "c", "d", "v1"), "prefix must"),
        (("a", "1@d/v1:id", "d", "v1"), "run must"),
        (("a", "1@e", "d", "v1"), "run must"),
        (("a", "1", "e/v1:id@d", "v1"), "domain must"),
        (("a", "1", "d/v2:id", "v1"), "domain must"),
        (("a", "1", "d", "v1:id/v2"), "version must"),
        (("", "1", "d", "v1"), "prefix must"),
        (("a", "", "d", "v1"), "run must"),
        (("a", "-", "", "v1"), "domain must"),
        (("p" * 32, "r" * 32, "d", "v1"), "at most 64"),
    ],
)
def test_parts_that_would_be_cut_elsewhere_are_refused(parts: tuple[str, str, str, str], said: str) -> None:
    with pytest.raises(InvalidIdentity, match=said):
        compose(*parts)


def test_every_fault_is_one_sentence() -> None:
    for text, _ in BAD.values():
        fault = fault_of(text)
        assert fault is not None
        assert fault.endswith(".")
        assert "\n" not in fault


@pytest.mark.parametrize(("text", "parts"), GOOD.values(), ids=GOOD)
def test_an_id_is_an_identity_in_lower_case_as_long_as_one_may_be(text: str, parts: tuple[str, str, str, str]) -> None:
    folded = Identity(*parts).id
    assert grammar.is_id(folded)
    assert grammar.is_id(text) is (text == folded)
    local, _, rest = folded.partition("@")
    assert not grammar.is_id(f"{local.ljust(grammar.MAX_LOCAL + 1, 'r')}@{rest}")
    assert not grammar.is_id(f"{local}@{'d' * (grammar.MAX_DOMAIN + 1)}/v1:id")
    assert not grammar.is_id(f"{local}@{DOMAIN_OF_253}d/v1:id")


def test_the_length_bounds_are_exact() -> None:
    for length, good in ((1, True), (62, True), (63, False)):
        assert (grammar.prefix_fault("p" * length) is None) is good
        assert (grammar.run_fault("r" * length) is None) is good
    assert grammar.local_fault("p" * 31, "r" * 32) is None
    assert grammar.local_fault("p" * 32, "r" * 32) is not None
    assert grammar.domain_fault(DOMAIN_OF_253) is None
    assert grammar.domain_fault(DOMAIN_OF_253 + "d") is not None
    assert len(GOOD["the longest of all"][0]) == grammar.MAX_ID


@given(IDENTITIES)
def test_every_identity_parses_back_to_itself(identity: Identity) -> None:
    assert parse(identity.id) == identity
    assert compose(*identity) == identity
    assert identity.id == f"{identity.email}/{identity.version}:id"


@given(NEAR_MISSES, NEAR_MISSES, NEAR_MISSES, NEAR_MISSES)
@example("a", "b-c", "d", "v1")
def test_what_composes_is_exactly_what_has_no_fault(prefix: str, run: str, domain: str, version: str) -> None:
    fault = grammar.parts_fault(prefix, run, domain, version)
    if fault is None:
        assert parse(f"{prefix}-{run}@{domain}/{version}:id") == compose(prefix, run, domain, version)
    else:
        with pytest.raises(InvalidIdentity, match=re.escape(fault)):
            compose(prefix, run, domain, version)


def test_no_two_sets_of_parts_give_one_identity() -> None:
    """All of a small world: every prefix, run, domain and version of up to two characters of the marks."""
    words = ["".join(letters) for size in (1, 2) for letters in itertools.product("a.-_", repeat=size)]
    prefixes = [word for word in words if grammar.prefix_fault(word) is None]
    runs = [word for word in words if grammar.run_fault(word) is None]
    domains = [word for word in (*words, "a.a", "a-a") if grammar.domain_fault(word) is None]
    everything = list(itertools.product(prefixes, runs, domains, ["v1", "v01", "v001", "v10"]))
    assert len(everything) > 200
    assert len({compose(*parts).id for parts in everything}) == len(everything)


@settings(max_examples=300)
@given(st.one_of(NEAR_MISSES, ANY_TEXT, IDENTITIES.map(lambda identity: identity.id)))
@example("a-b@c/v1:id")
def test_the_one_expression_agrees_with_the_plain_way(text: str) -> None:
    """A reference that splits at the separators and checks each part: it has a fault where the expression refuses."""
    assert (grammar._text_fault(text) is None) == (fault_of(text) is None)
    assert fault_of(text) != grammar._SHAPE
    assert grammar.is_id(text) == (isinstance(read := parse(text), Identity) and read.id == text)


@settings(max_examples=200)
@given(
    st.text(alphabet="aZ0._", min_size=1, max_size=6),
    st.text(alphabet="aZ0._-", min_size=1, max_size=6),
    st.text(alphabet="aZ0.-", min_size=1, max_size=8),
)
@example("a.", "b", "a")
@example("a", ".b", "a.a")
@example("_", "-", "0")
def test_email_validator_accepts_the_same_addr_specs(prefix: str, run: str, domain: str) -> None:
    """In both directions, but for "--" in third place, which IDNA reserves and RFC 5322 does not."""
    assume(not any(label[2:4] == "--" for label in domain.split(".")))
    email = f"{prefix}-{run}@{domain}"
    assert (fault_of(f"{email}/v1:id") is None) is accepted(email)


@settings(max_examples=200)
@given(IDENTITIES)
@example(Identity(*GOOD["the longest prefix"][1]))
@example(Identity(*GOOD["the longest label"][1]))
def test_email_validator_accepts_every_addr_spec_that_is_handed_out(identity: Identity) -> None:
    assume(not any(label[2:4] == "--" for label in identity.domain.split(".")))
    assert accepted(identity.email)


@pytest.mark.parametrize(
    ("email", "said"),
    [
        (f"a-1@{DOMAIN_OF_253}", "too long"),
        ("a-1@ab--cd.com", "two dashes"),
        ("a-1@xn--a.com", "IDNA"),
        ("a-1@localdomain", "should have a period"),
        ("a-1@10.0.0.1", "top-level domain"),
    ],
)
def test_where_mail_in_practice_is_narrower_than_rfc_5322(email: str, said: str) -> None:
    """The departures that the module's docstring lists: valid addr-specs that SMTP or DNS would not carry."""
    assert fault_of(f"{email}/v1:id") is None
    with pytest.raises(EmailNotValidError, match=said):
        validate_email(email, check_deliverability=False)


def accepted(email: str) -> bool:
    try:
        validated = validate_email(email, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        return False
    return validated.ascii_email is not None and validated.ascii_email.lower() == email.lower()
