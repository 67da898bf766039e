"""The rules of OIDC_ISSUERS: which ID tokens of which issuers are exchanged, and for what.

TOML, or JSON of the same structure::

    [[issuer]]
    url = "https://token.actions.githubusercontent.com"
    audience = "https://identity.api.yourbook.com"

    [[issuer.rule]]
    claims = { repository = "your-org/market-odds", ref = "refs/tags/v*" }
    subject = "ci/market-odds"
    prefixes = ["ci"]
    rate_limit = 1000
    minutes = 10
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from arsenal_fast.identity.grammar import prefix_fault
from arsenal_fast.tokens.claims import MAX_RATE_LIMIT, SUBJECT_RANGE, is_subject

MAX_ISSUERS: Final = 16
MAX_RULES: Final = 1000  # of an issuer: a rule for each repository
MAX_PREFIXES: Final = 32  # of a rule: they are in the token
DEFAULT_MINUTES: Final = 10
MAX_MINUTES: Final = 60
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

_ISSUER: Final = {"url", "audience", "rule"}
_RULE: Final = {"claims", "subject", "prefixes", "rate_limit", "minutes"}


@dataclass(frozen=True, slots=True)
class Rule:
    """The claims that an ID token must have, and the service token that it is exchanged for."""

    claims: Mapping[str, str]
    """Values by name; one that ends with ``*`` matches all that begin so."""
    subject: str
    prefixes: tuple[str, ...]
    """In lower case: the protected prefixes that the token may issue."""
    rate_limit: int
    minutes: int

    def matches(self, claims: Mapping[str, object]) -> bool:
        """Whether an ID token has the claims of this rule."""
        return all(_matches(pattern, claims.get(name)) for name, pattern in self.claims.items())


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer, the audience that its tokens must have, and its rules in their order."""

    url: str
    audience: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """All issuers whose tokens are exchanged."""

    issuers: tuple[Issuer, ...]
    path: str = ""
    """The file that has them, to be looked at again; empty: there is none."""

    def __str__(self) -> str:
        return ", ".join(f"{each.url} ({len(each.rules)} rules)" for each in self.issuers)

    @property
    def prefixes(self) -> frozenset[str]:
        """The prefixes of all rules."""
        return frozenset(prefix for issuer in self.issuers for rule in issuer.rules for prefix in rule.prefixes)


def parse_rules(text: str, path: str = "") -> Rules:
    """Parse TOML or JSON; raises ValueError with the rest of a sentence about OIDC_ISSUERS.

    ``path``: the file that has the text.
    """
    try:
        document: Any = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("must be TOML or JSON; it can't be parsed") from None
    issuers = _tables(document, "issuer", "the document", {"issuer"}, MAX_ISSUERS)
    read = tuple(_issuer(each, f"issuer {number}") for number, each in enumerate(issuers, 1))
    if len({each.url for each in read}) < len(read):
        raise ValueError("has the same issuer twice")
    return Rules(read, path)


def url_fault(url: object) -> str | None:
    """Return why keys may not be fetched from a URL, or None: https, or http on the loopback."""
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or len(url) > 512:
        return "must be a URL of at most 512 characters"
    try:
        parts = urlsplit(url)
        is_loopback = parts.scheme == "http" and parts.hostname in LOOPBACK
        sound = bool(parts.hostname) and parts.username is None and not parts.fragment and (parts.port or 1) > 0
    except ValueError:
        return "must be a URL"
    return None if sound and (parts.scheme == "https" or is_loopback) else "must be an https URL without a user"


def _issuer(table: Mapping[str, Any], place: str) -> Issuer:
    _check_names(table, _ISSUER, place)
    if fault := url_fault(table.get("url")):
        raise ValueError(f"has a wrong url in {place}: it {fault}")
    if "?" in table["url"]:
        raise ValueError(f"has a wrong url in {place}: it must have no query")
    rules = _tables(table, "rule", place, _ISSUER, MAX_RULES)
    read = tuple(_rule(each, f"rule {number} of {place}") for number, each in enumerate(rules, 1))
    return Issuer(table["url"], _text(table, "audience", place), read)


def _rule(table: Mapping[str, Any], place: str) -> Rule:
    _check_names(table, _RULE, place)
    claims = table.get("claims")
    if not isinstance(claims, dict) or not claims or not all(map(_is_pattern, claims.values())):
        raise ValueError(f"needs claims in {place}: names with strings, of which * alone is none")
    subject = _text(table, "subject", place)
    if not is_subject(subject):
        raise ValueError(f"has a wrong subject in {place}: {SUBJECT_RANGE.rstrip('.')}")
    prefixes = table.get("prefixes")
    if not isinstance(prefixes, list) or not 1 <= len(prefixes) <= MAX_PREFIXES or not all(map(_is_prefix, prefixes)):
        raise ValueError(f"needs 1 to {MAX_PREFIXES} prefixes in {place}, of A-Z a-z 0-9 _ .")
    return Rule(
        claims=claims,
        subject=subject,
        prefixes=tuple(dict.fromkeys(prefix.lower() for prefix in prefixes)),
        rate_limit=_number(table, "rate_limit", place, None, MAX_RATE_LIMIT),
        minutes=_number(table, "minutes", place, DEFAULT_MINUTES, MAX_MINUTES),
    )


def _tables(table: Any, name: str, place: str, names: set[str], most: int) -> list[dict[str, Any]]:
    """Return the tables of a name, of which there must be one or more."""
    if isinstance(table, dict):
        _check_names(table, names, place)
        rows = table.get(name)
        if isinstance(rows, list) and 1 <= len(rows) <= most and all(isinstance(row, dict) for row in rows):
            return rows
    raise ValueError(f"needs 1 to {most} tables [[{name}]] in {place}")


def _check_names(table: Mapping[str, Any], names: set[str], place: str) -> None:
    if unknown := sorted(table.keys() - names):
        raise ValueError(f"has {unknown[0][:40]!a} in {place}; known are {', '.join(sorted(names))}")


def _text(table: Mapping[str, Any], name: str, place: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 512:
        raise ValueError(f"needs {name} in {place}: a string of 1 to 512 characters")
    return value


def _number(table: Mapping[str, Any], name: str, place: str, default: int | None, most: int) -> int:
    value = table.get(name, default)
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"needs {name} in {place}: a whole number from 1 to {most}")
    return value


def _is_pattern(value: object) -> bool:
    return isinstance(value, str) and bool(value.removesuffix("*"))


def _is_prefix(value: object) -> bool:
    return isinstance(value, str) and prefix_fault(value) is None


def _matches(pattern: str, value: object) -> bool:
    if not isinstance(value, str):
        return False
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern
