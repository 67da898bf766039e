"""A limits file: what it means, and what each fault is told as."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arsenal_fast.api.routes import ROUTES
from arsenal_fast.ratelimit.policies import (
    ALL,
    GROUPS,
    MAX_POLICIES,
    TOKENS,
    Policies,
    Policy,
    parse_policies,
)
from arsenal_fast.ratelimit.quota import Quota

EXAMPLE = Path(__file__).parents[2] / "deploy/limits/limits.toml"

ONE = '[[policy]]\nname = "burst"\nrequests = 20\nwindow = 1\n'


def names(policies: Policies, token: bool = False, group: str = "issue", rows: int = 1, **by_prefix: int) -> Any:
    """The cost for each policy that a request is charged to."""
    return costs(policies, token, group, rows, by_prefix)


def costs(policies: Policies, token: bool, group: str, rows: int, by_prefix: dict[str, int]) -> dict[str, int]:
    charges = policies.charges(token=token, group=group, rows=rows, by_prefix=by_prefix)
    return {policy.name: cost for policy, cost in charges}


def test_the_example_has_every_key_and_is_what_its_comments_say() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    policies = parse_policies(text, str(EXAMPLE))
    assert str(policies) == f"{EXAMPLE} (default, burst, rows, test-identities, validations (shadow))"
    assert names(policies, rows=30, player=20, test=10) == {
        "default": 1,
        "burst": 1,
        "rows": 30,
        "test-identities": 10,
    }
    assert names(policies, token=True, rows=30, player=20, test=10) == {"test-identities": 10}
    assert names(policies, group="validate", rows=30) == {"default": 1, "burst": 1, "validations": 1}
    keys = {key for table in tomllib.loads(text)["policy"] for key in table}
    assert keys == {"name", "requests", "window", "callers", "routes", "prefixes", "cost", "shared", "shadow"}
    assert policies.exempt == ("10.20.0.0/16",)


def test_a_policy_with_no_more_than_it_needs_is_for_all_requests_of_addresses() -> None:
    (policy,) = parse_policies(ONE).policies
    assert policy.quota == Quota(20, 1, "burst")
    assert policy.is_for(token=False, group="")
    assert not policy.is_for(token=True, group="issue")
    assert (policy.reads_rows, policy.shadow, policy.shared) == (False, False, False)
    assert policy.cost(30, {}) == 1


def test_the_groups_of_routes_are_those_of_the_table() -> None:
    assert {route.group for route in ROUTES if route.limited} - {""} == set(GROUPS)
    assert all(route.group for route in ROUTES if route.limited and route.summary)


def test_prefixes_are_for_requests_that_issue_and_in_any_case() -> None:
    policies = parse_policies(ONE + 'prefixes = ["Player", "bot"]\n')
    assert names(policies, player=2, bot=1, other=7) == {"burst": 1}
    assert names(policies, other=7) == {}
    assert names(policies, group="validate", player=1) == {}
    assert policies.reads_rows("issue")
    assert not policies.reads_rows("validate")


@pytest.mark.parametrize(("limit", "each"), [(60, 10), (61, 11), (1, 1)])
def test_a_shared_policy_is_divided_among_the_shards_of_a_store(limit: int, each: int) -> None:
    shared = Policy(Quota(limit, 60, "all"), shared=True)
    assert shared.quota_of(1, 6) == Quota(each, 60, "all")
    assert shared.quota_of(3, 1) == Quota(limit, 60, "all", cost=3)
    assert Policy(Quota(limit, 60, "own")).quota_of(1, 6) == Quota(limit, 60, "own")


FAULTS = {
    "": "f.toml: there must be 1 to 16 tables [[policy]]; write [[policy]] before each",
    "policy = 1": "f.toml, line 1: there must be 1 to 16 tables [[policy]]; write [[policy]] before each",
    "polcy = []": 'f.toml, line 1: the file has the key "polcy"; known are exempt, policy',
    "[[policy]]\nname=\n": "f.toml: this is no TOML: Invalid value (at line 2, column 6); correct what stands there",
    "[[policy]]": (
        "f.toml, line 1: policy 1 has no name; it must be 1 to 32 of a-z 0-9 _ -, a letter first, and not token "
        "or subject"
    ),
    '[[policy]]\nname = "Burst"': (
        'f.toml, line 2: policy 1 has name = "Burst"; it must be 1 to 32 of a-z 0-9 _ -, a letter first, and not '
        "token or subject"
    ),
    '[[policy]]\nname = "token"\nrequests = 1\nwindow = 1': (
        'f.toml, line 2: policy 1 has name = "token"; it must be 1 to 32 of a-z 0-9 _ -, a letter first, and not '
        "token or subject"
    ),
    f"{ONE}\n\n{ONE}": 'f.toml, line 8: policy 2 has the name of another one, "burst"; rename it',
    f"{ONE}window2 = 1": (
        'f.toml, line 5: policy 1 "burst" has the key "window2"; known are name, requests, window, callers, routes, '
        "prefixes, cost, shared, shadow"
    ),
    '[[policy]]\nname = "a"\nwindow = 1': (
        'f.toml, line 1: policy 1 "a" has no requests; it must be a whole number from 1 to 1000000000'
    ),
    '[[policy]]\nname = "a"\nrequests = true\nwindow = 1': (
        'f.toml, line 3: policy 1 "a" has requests = true; it must be a whole number from 1 to 1000000000'
    ),
    '[[policy]]\nname = "a"\nrequests = 1.5\nwindow = 1': (
        'f.toml, line 3: policy 1 "a" has requests = 1.5; it must be a whole number from 1 to 1000000000'
    ),
    '[[policy]]\nname = "a"\nrequests = 1\nwindow = "1h"': (
        'f.toml, line 4: policy 1 "a" has window = "1h"; it must be a whole number from 1 to 31536000'
    ),
    '[[policy]]\nname = "a"\nrequests = 10_000_000\nwindow = 1': (
        'f.toml, line 3: policy 1 "a" has too many requests for its window: the limit of a quota must be from 1 to '
        "1000000 requests a second of its window"
    ),
    f'{ONE}callers = "everybody"': (
        'f.toml, line 5: policy 1 "burst" has callers = "everybody"; it must be "addresses" or "tokens" or "all"'
    ),
    f"{ONE}shadow = 1": 'f.toml, line 5: policy 1 "burst" has shadow = 1; it must be false or true',
    f'{ONE}shared = "yes"': 'f.toml, line 5: policy 1 "burst" has shared = "yes"; it must be false or true',
    f'{ONE}cost = "row"': 'f.toml, line 5: policy 1 "burst" has cost = "row"; it must be "request" or "rows"',
    f'{ONE}routes = ["batch"]': (
        "f.toml, line 5: policy 1 \"burst\" has routes = ['batch']; it must be a list of issue, validate, revoke, "
        "audit, token, tokens"
    ),
    f"{ONE}routes = []": (
        'f.toml, line 5: policy 1 "burst" has routes = []; it must be a list of issue, validate, revoke, audit, '
        "token, tokens"
    ),
    f'{ONE}prefixes = ["a b"]': (
        "f.toml, line 5: policy 1 \"burst\" has prefixes = ['a b']; it must be a list of 1 to 1000 prefixes of A-Z a-z "
        "0-9 _ ."
    ),
    f'{ONE}prefixes = ["a"]\nroutes = ["validate"]': (
        'f.toml, line 6: policy 1 "burst" has prefixes for routes without any: leave routes out, or write '
        'routes = ["issue"]'
    ),
    f'exempt = "10.0.0.0/8"\n{ONE}': (
        'f.toml, line 1: exempt must be a list of at most 1000 networks, such as ["10.0.0.0/8"]'
    ),
    f'\nexempt = ["10.0.0.1/8"]\n{ONE}': (
        'f.toml, line 2: exempt has "10.0.0.1/8"; it must have IP addresses or CIDRs without host bits, of IPv6 a /64 '
        "or larger, since that is one client"
    ),
}


@pytest.mark.parametrize("text", FAULTS, ids=range(len(FAULTS)))
def test_a_fault_names_the_file_the_line_the_key_and_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the text is compared
        parse_policies(text, "f.toml")
    assert str(refused.value) == FAULTS[text]


@pytest.mark.parametrize("network", ["2001:db8::1", "2001:db8::/65", "::/0x", 5, "fe80::1%eth0"])
def test_exempt_networks_of_ipv6_are_not_smaller_than_one_client(network: object) -> None:
    text = f"exempt = [{network!r}]\n{ONE}"
    with pytest.raises(ValueError, match="of IPv6 a /64 or larger"):
        parse_policies(text)


def test_there_are_few_policies_and_nesting_ends() -> None:
    many = "".join(ONE.replace("burst", f"p{number}") for number in range(MAX_POLICIES + 1))
    with pytest.raises(ValueError, match="1 to 16 tables"):
        parse_policies(many)
    with pytest.raises(ValueError, match="no TOML"):
        parse_policies("a = " + "[" * 100_000)


VALUES = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 10**10), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(["name", "requests", "window", "callers", "routes", "prefixes", "cost", "shared", "shadow", "x"])
GOOD = {
    "name": st.sampled_from(["a", "burst", "hour-2"]),
    "requests": st.integers(1, 1000),
    "window": st.integers(1, 100_000),
    "callers": st.sampled_from(["addresses", TOKENS, ALL]),
    "cost": st.sampled_from(["request", "rows"]),
    "shared": st.booleans(),
    "shadow": st.booleans(),
    "prefixes": st.lists(st.sampled_from(["player", "Bot", "test"]), min_size=1, max_size=3),
}
TABLES = st.fixed_dictionaries(
    {key: GOOD[key] for key in ("name", "requests", "window")}, optional={key: GOOD[key] for key in list(GOOD)[3:]}
)


def written(value: object) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(each):08X}" for each in value) + '"'
    return repr(value)


def fault_of(text: str, path: str) -> str | None:
    try:
        parse_policies(text, path)
    except ValueError as fault:
        return str(fault)
    return None


def table(values: dict[str, object]) -> str:
    return "[[policy]]\n" + "".join(f"{key} = {written(value)}\n" for key, value in values.items())


@given(TABLES)
def test_a_good_table_reads_back_as_what_was_written(values: dict[str, Any]) -> None:
    (policy,) = parse_policies(table(values)).policies
    assert policy.quota == Quota(values["requests"], values["window"], values["name"])
    assert policy.callers == values.get("callers", "addresses")
    assert (policy.by_rows, policy.shared, policy.shadow) == (
        values.get("cost") == "rows",
        values.get("shared", False),
        values.get("shadow", False),
    )
    assert policy.prefixes == {prefix.lower() for prefix in values.get("prefixes", [])}


@given(TABLES, KEYS, VALUES)
@example({"name": "a", "requests": 1, "window": 1}, "name", 'ü\n"')
def test_any_value_for_a_key_is_read_or_refused_in_one_printable_sentence(
    values: dict[str, object], key: str, value: object
) -> None:
    sentence = fault_of(table({**values, key: value}), "/etc/ä.toml")
    if sentence is not None:
        assert sentence.startswith("/etc/\\xe4.toml")
        assert sentence.isascii()
        assert sentence.isprintable()
        assert len(sentence) < 300


@given(st.text(max_size=200))
@example("\x00")
@example("[[policy]]\nname = 1979-05-27")
def test_any_text_is_read_or_refused_in_one_sentence(text: str) -> None:
    sentence = fault_of(text, "f.toml")
    assert sentence is None or (sentence.startswith("f.toml") and sentence.isprintable())


COSTS = st.dictionaries(st.sampled_from(["player", "bot", "test"]), st.integers(1, 40), max_size=3)


@given(st.lists(TABLES, min_size=1, max_size=4, unique_by=lambda values: values["name"]), st.booleans(), COSTS)
def test_a_request_is_charged_to_just_the_policies_that_are_for_it(
    tables: list[dict[str, Any]], token: bool, by_prefix: dict[str, int]
) -> None:
    policies = parse_policies("".join(map(table, tables)))
    rows = sum(by_prefix.values()) or 1
    expected = {}
    for values in tables:
        prefixes = {prefix.lower() for prefix in values.get("prefixes", [])}
        counted = sum(count for prefix, count in by_prefix.items() if prefix in prefixes) if prefixes else rows
        if counted and values.get("callers", "addresses") in ("all", "tokens" if token else "addresses"):
            expected[values["name"]] = counted if values.get("cost") == "rows" else 1
    assert costs(policies, token, "issue", rows, by_prefix) == expected
