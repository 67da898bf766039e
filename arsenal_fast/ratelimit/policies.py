"""The policies of a limits file: which quotas a request is charged to.

TOML::

    exempt = ["10.0.0.0/8"]

    [[policy]]
    name = "burst"
    requests = 20
    window = 1

    [[policy]]
    name = "rows"
    requests = 10_000
    window = 3600
    routes = ["issue"]
    prefixes = ["player"]
    cost = "rows"
    callers = "all"
    shadow = true

A fault is one sentence that names the line, the policy and the key, what is wrong with it and what it must be.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from arsenal_fast.identity.grammar import prefix_fault
from arsenal_fast.ratelimit.client import ClientAddresses
from arsenal_fast.ratelimit.quota import MAX_WINDOW, SUBJECT_POLICY, TOKEN_POLICY, Quota

ISSUE: Final = "issue"
VALIDATE: Final = "validate"
GROUPS: Final = (ISSUE, VALIDATE, "revoke", "audit", "token", "tokens")
"""The groups of routes that a policy may be for."""

ADDRESSES: Final = "addresses"
TOKENS: Final = "tokens"
ALL: Final = "all"

MAX_POLICIES: Final = 16
"""Each is a cell of every caller, and a member of two header fields."""
MAX_NETWORKS: Final = 1000
MAX_PREFIXES: Final = 1000  # of a policy
MAX_REQUESTS: Final = 1_000_000_000

_MAX_V6: Final = 64  # a client is an IPv6 /64
_ECHO: Final = 40  # bytes of a bad value that a sentence repeats

_FILE: Final = ("exempt", "policy")
_POLICY: Final = ("name", "requests", "window", "callers", "routes", "prefixes", "cost", "shared", "shadow")
_name: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}").fullmatch


class FileFault(ValueError):
    """Why a limits file is refused; ``key`` and ``number`` say where: the key, and of which policy (0: of none)."""

    def __init__(self, sentence: str, key: str = "", number: int = 0) -> None:
        super().__init__(sentence)
        self.key = key
        self.number = number


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """One quota, and the requests that are charged to it; compared by identity."""

    quota: Quota
    callers: str = ADDRESSES
    groups: frozenset[str] = frozenset()
    """The groups of routes; empty: all."""
    prefixes: frozenset[str] = frozenset()
    """In lower case: a request is charged for its identities of these; empty: of all."""
    by_rows: bool = False
    """Whether a request costs one for each of its rows."""
    shared: bool = False
    """Whether all callers have one cell together."""
    shadow: bool = False
    """Whether it only counts what it would have refused."""

    @property
    def name(self) -> str:
        """Its name, which is that of its quota."""
        return self.quota.policy

    @property
    def reads_rows(self) -> bool:
        """Whether what it charges depends on the content of a request."""
        return self.by_rows or bool(self.prefixes)

    def is_for(self, *, token: bool, group: str) -> bool:
        """Whether it is for such callers, and such routes."""
        return self.callers in (ALL, TOKENS if token else ADDRESSES) and (not self.groups or group in self.groups)

    def cost(self, rows: int, by_prefix: Mapping[str, int]) -> int:
        """Return what a request costs. ``by_prefix``: the rows of each prefix, in lower case."""
        if self.prefixes:
            rows = sum(by_prefix.get(prefix, 0) for prefix in self.prefixes)
        return rows if self.by_rows else min(rows, 1)

    def quota_of(self, cost: int, shards: int) -> Quota:
        """Return the quota of a request's hit. A shared one is divided among the shards of a store, rounded up."""
        quota = self.quota
        if self.shared and shards > 1:
            quota = replace(quota, limit=-(-quota.limit // shards))
        return replace(quota, cost=cost)


Charges = tuple[tuple[Policy, int], ...]
"""The policies that a request is charged to, and its cost for each."""


@dataclass(frozen=True, slots=True)
class Policies:
    """The content of a limits file."""

    policies: tuple[Policy, ...]
    exempt: tuple[str, ...] = ()
    """Networks whose requests without a token are not charged."""
    path: str = ""
    """The file that has it, to be looked at again."""

    def __str__(self) -> str:
        names = ", ".join(policy.name + (" (shadow)" if policy.shadow else "") for policy in self.policies)
        return f"{self.path} ({names})" if self.path else names

    def reads_rows(self, group: str) -> bool:
        """Whether what requests of a group are charged depends on their content."""
        return any(policy.reads_rows for policy in self.policies if not policy.groups or group in policy.groups)

    def charges(self, *, token: bool, group: str, rows: int, by_prefix: Mapping[str, int]) -> Charges:
        """Return what a request is charged to. ``rows``: how many it has."""
        found = []
        for policy in self.policies:
            if policy.is_for(token=token, group=group) and (cost := policy.cost(rows, by_prefix)):
                found.append((policy, cost))
        return tuple(found)

    def charges_of(self, *, token: bool) -> Charges:
        """Return all policies for such callers."""
        return tuple((policy, 1) for policy in self.policies if policy.callers in (ALL, TOKENS if token else ADDRESSES))


def parse_policies(text: str, path: str = "") -> Policies:
    """Parse a limits file; raises ValueError with one sentence that begins with the file and the line."""
    file = ascii(path)[1:-1] or "the file"
    try:
        return _file(tomllib.loads(text), path)
    except FileFault as fault:
        line = _line_of(text, fault)
        raise ValueError(f"{file}{f', line {line}' if line else ''}: {fault}") from None
    except (ValueError, RecursionError) as error:  # tomllib's text has line and column
        detail = ascii(str(error))[1:-1] if isinstance(error, ValueError) else "it is nested too deeply"
        raise ValueError(f"{file}: this is no TOML: {detail}; correct what stands there") from None


def _file(document: Mapping[str, Any], path: str) -> Policies:
    _check_names(document, _FILE, "the file", 0)
    tables = document.get("policy")
    if not isinstance(tables, list) or not 1 <= len(tables) <= MAX_POLICIES or not all(map(_is_table, tables)):
        raise FileFault(f"there must be 1 to {MAX_POLICIES} tables [[policy]]; write [[policy]] before each", "policy")
    policies = tuple(_policy(table, number) for number, table in enumerate(tables, 1))
    names: set[str] = set()
    for number, policy in enumerate(policies, 1):
        if policy.name in names:
            raise FileFault(f'policy {number} has the name of another one, "{policy.name}"; rename it', "name", number)
        names.add(policy.name)
    return Policies(policies, _exempt(document), path)


def _policy(table: Mapping[str, Any], number: int) -> Policy:
    name = table.get("name")
    if not isinstance(name, str) or _name(name) is None or name in (TOKEN_POLICY, SUBJECT_POLICY):
        fault = _wrong("name", f"policy {number}", name)
        allowed = f"1 to 32 of a-z 0-9 _ -, a letter first, and not {TOKEN_POLICY} or {SUBJECT_POLICY}"
        raise FileFault(f"{fault} it must be {allowed}", "name", number)
    place = f'policy {number} "{name}"'
    _check_names(table, _POLICY, place, number)

    def read_number(key: str, most: int) -> int:
        value = table.get(key)
        if type(value) is not int or not 1 <= value <= most:
            fault = _wrong(key, place, value)
            raise FileFault(f"{fault} it must be a whole number from 1 to {most}", key, number)
        return value

    def read_word(key: str, words: Sequence[Any]) -> Any:
        value = table.get(key, words[0])
        if type(value) is not type(words[0]) or value not in words:
            allowed = " or ".join(_shown(word) for word in words)
            raise FileFault(f"{_wrong(key, place, value)} it must be {allowed}", key, number)
        return value

    def read_list(key: str, most: int, is_one: Any, allowed: str) -> frozenset[str]:
        value = table.get(key)
        if value is None:
            return frozenset()
        if not isinstance(value, list) or not 1 <= len(value) <= most or not all(map(is_one, value)):
            raise FileFault(f"{_wrong(key, place, value)} it must be a list of {allowed}", key, number)
        return frozenset(each.lower() for each in value)

    limit, window = read_number("requests", MAX_REQUESTS), read_number("window", MAX_WINDOW)
    try:
        quota = Quota(limit, window, name)
    except ValueError as error:
        fault = f"{place} has too many requests for its window: {str(error).rstrip('.')}"
        raise FileFault(fault, "requests", number) from None
    groups = read_list("routes", len(GROUPS), GROUPS.__contains__, ", ".join(GROUPS))
    prefixes = read_list("prefixes", MAX_PREFIXES, _is_prefix, f"1 to {MAX_PREFIXES} prefixes of A-Z a-z 0-9 _ .")
    if prefixes and groups - {ISSUE}:
        fault = f'{place} has prefixes for routes without any: leave routes out, or write routes = ["{ISSUE}"]'
        raise FileFault(fault, "routes", number)
    return Policy(
        quota=quota,
        callers=read_word("callers", (ADDRESSES, TOKENS, ALL)),
        groups=frozenset({ISSUE}) if prefixes else groups,
        prefixes=prefixes,
        by_rows=read_word("cost", ("request", "rows")) == "rows",
        shared=read_word("shared", (False, True)),
        shadow=read_word("shadow", (False, True)),
    )


def _exempt(document: Mapping[str, Any]) -> tuple[str, ...]:
    networks = document.get("exempt", [])
    if not isinstance(networks, list) or len(networks) > MAX_NETWORKS:
        raise FileFault(f'exempt must be a list of at most {MAX_NETWORKS} networks, such as ["10.0.0.0/8"]', "exempt")
    for network in networks:
        if not _is_network(network):
            allowed = "IP addresses or CIDRs without host bits, of IPv6 a /64 or larger, since that is one client"
            raise FileFault(f"exempt has {_shown(network)}; it must have {allowed}", "exempt")
    return tuple(networks)


def _check_names(table: Mapping[str, Any], known: Sequence[str], place: str, number: int) -> None:
    for key in table:
        if key not in known:
            raise FileFault(f"{place} has the key {_shown(key)}; known are {', '.join(known)}", key, number)


def _wrong(key: str, place: str, value: object) -> str:
    """Return the first half of a sentence about a bad value."""
    return f"{place} has no {key};" if value is None else f"{place} has {key} = {_shown(value)};"


def _shown(value: object) -> str:
    """Return a value as TOML has it, escaped and cut."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return ascii(value)[:_ECHO]
    return '"' + ascii(value[:_ECHO])[1:-1].replace('"', '\\"') + '"'


def _line_of(text: str, fault: FileFault) -> int:
    """Return the line of a fault: of the key in its table, else of the table; 0 where neither is found."""
    lines = text.splitlines()
    headers = [at for at, line in enumerate(lines, 1) if re.match(r"\s*\[\[\s*[\"']?policy[\"']?\s*\]\]", line)]
    start = headers[fault.number - 1] if 0 < fault.number <= len(headers) else 0
    end = next((at for at in headers if at > start), len(lines) + 1)
    key = re.compile(rf"\s*[\"']?{re.escape(fault.key)}[\"']?\s*=")
    return next((at for at in range(start + 1, end) if key.match(lines[at - 1])), start)


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_prefix(value: object) -> bool:
    return isinstance(value, str) and prefix_fault(value) is None


def _is_network(value: object) -> bool:
    try:
        if not isinstance(value, str):
            return False
        ClientAddresses((value,))
    except ValueError:
        return False
    address, _, length = value.partition("/")
    return ":" not in address or (len(length) > 0 and int(length) <= _MAX_V6)
