"""The grammar of identities: ``player-123456@sports.api.yourbook.com/v1:id``.

::

    identity = local "@" domain "/" version ":id"
    local    = prefix "-" run          at most 64 bytes (RFC 5321 section 4.5.3.1.1); as a whole a dot-atom
    prefix   = 1*(ALPHA / DIGIT / "_" / ".")
    run      = 1*(ALPHA / DIGIT / "_" / "." / "-")
    domain   = label *("." label)      at most 253 bytes (RFC 1035 section 2.3.4), folded to lower case
    version  = "v" 1*3DIGIT

A prefix has no "-", so the first "-" ends it, and (prefix, run, domain, version) -> id is injective. In a
dot-atom (RFC 5322 section 3.2.3) no dot leads, trails or follows another; "-" is atext, so a prefix may end
and a run may begin with a dot. Everything is ASCII and matched as a whole: ``\\w``, ``\\d``, ``$``,
``int()`` and case folding all let other scripts or a line end through, and an identity goes into header
lines, logs and shell files as it is.

The part before "/" is an RFC 5322 addr-spec. SMTP and DNS may still refuse to carry it: it may be over 254
bytes (RFC 5321 section 4.5.3.1.3), its domain may be one label, end in an all-digit label, or have "--" in
third place without being valid IDNA (RFC 5890 section 2.3.1).

A fault is one sentence that names what is allowed. It never repeats the value: the value is hostile.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from arsenal_fast.errors import InvalidIdentity

MAX_LOCAL: Final = 64  # bytes, RFC 5321 section 4.5.3.1.1
MAX_DOMAIN: Final = 253  # bytes, RFC 1035 section 2.3.4 less the root's and the first length byte
MAX_PART: Final = MAX_LOCAL - 2  # a prefix next to "-" and the shortest run, and the other way round
MAX_ID: Final = MAX_LOCAL + len("@") + MAX_DOMAIN + len("/v999:id")

# No possessive groups here: up to Python 3.11.4 one that holds a possessive run goes wrong (gh-101955). Nothing walks
# back all the same, for a group never begins with what may stand behind it.
# RFC 5322 section 3.2.3 dot-atom-text, cut at the first "-" and limited to what we hand out.
PREFIX: Final = r"[A-Za-z0-9_]++(?:\.[A-Za-z0-9_]++)*\.?+"
RUN: Final = r"\.?+[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++)*"
# RFC 1123 section 2.1: a label is letters, digits and inner hyphens, 63 bytes at most.
_LABEL: Final = r"(?!-)[A-Za-z0-9-]{1,63}+(?<!-)"
_DOMAIN: Final = rf"(?:{_LABEL}\.)*{_LABEL}"
_VERSION: Final = r"v[0-9]{1,3}"

_identity = re.compile(
    rf"(?=[^@]{{1,{MAX_LOCAL}}}+@[^/]{{1,{MAX_DOMAIN}}}+/)({PREFIX})-({RUN})@({_DOMAIN})/({_VERSION}):id"
).fullmatch
_local = re.compile(rf"{PREFIX}-{RUN}").fullmatch
_rest = re.compile(rf"({_DOMAIN})/{_VERSION}:id").fullmatch
_prefix = re.compile(PREFIX).fullmatch
_run = re.compile(RUN).fullmatch
_domain = re.compile(_DOMAIN).fullmatch
_version = re.compile(_VERSION).fullmatch

_PREFIX_RANGE: Final = (
    f"prefix must be 1 to {MAX_PART} of A-Z a-z 0-9 _ . (no '-': the first '-' ends the prefix),"
    " without a leading or double dot."
)
_RUN_RANGE: Final = f"run must be 1 to {MAX_PART} of A-Z a-z 0-9 _ . -, without a trailing or double dot."
_LOCAL_RANGE: Final = f"prefix and run, with the '-' between them, must be at most {MAX_LOCAL} characters."
_DOMAIN_RANGE: Final = (
    f"domain must be 1 to {MAX_DOMAIN} characters: labels of 1 to 63 of A-Z a-z 0-9 -, joined by '.',"
    " none beginning or ending with '-'."
)
_VERSION_RANGE: Final = "version must be 'v' and 1 to 3 digits, such as v1."
_SHAPE: Final = "An identity is prefix-run@domain/version:id."


class Identity(NamedTuple):
    """The four parts. What ``parse`` and ``compose`` return is valid and has its domain in lower case."""

    prefix: str
    run: str
    domain: str
    version: str

    @property
    def id(self) -> str:
        return f"{self.prefix}-{self.run}@{self.domain}/{self.version}:id"

    @property
    def email(self) -> str:
        """The addr-spec (RFC 5322 section 3.4.1)."""
        return f"{self.prefix}-{self.run}@{self.domain}"


class Malformed(NamedTuple):
    """A text that is no identity; ``reason`` is one sentence."""

    reason: str


def parse(text: str) -> Identity | Malformed:
    """Parse ``text`` into an identity.

    A malformed text is an expected outcome, so it is a value: an exception that is kept holds the frames that it came
    through, and they hold it, a cycle that only the garbage collector ends.
    """
    match = _identity(text)
    if match is None:
        return Malformed(_text_fault(text) or _SHAPE)
    prefix, run, domain, version = match.groups()
    return Identity(prefix, run, domain.lower(), version)


def is_id(text: str) -> bool:
    """Say whether a text is an identity with its domain in lower case, as every id is."""
    if len(text) > MAX_ID:
        return False
    local, _, rest = text.partition("@")
    return len(local) <= MAX_LOCAL and _local(local) is not None and _ends_id(rest)


@lru_cache(maxsize=64)  # a service has one domain, and few callers name another
def _ends_id(rest: str) -> bool:
    match = _rest(rest)
    return match is not None and len(match[1]) <= MAX_DOMAIN and match[1] == match[1].lower()


def split(identity: str) -> Identity:
    """Split an id that is known to be valid and folded; nothing is checked."""
    local, _, rest = identity.partition("@")
    prefix, _, run = local.partition("-")
    domain, _, version = rest.partition("/")
    return Identity(prefix, run, domain, version[:-3])


def compose(prefix: str, run: str, domain: str, version: str) -> Identity:
    """Compose an identity of these parts; raises InvalidIdentity with a sentence about the first bad part."""
    match = _identity(f"{prefix}-{run}@{domain}/{version}:id")
    # What matches may be cut elsewhere than where it was joined: a prefix "a-b".
    if match is None or match.groups() != (prefix, run, domain, version):
        raise InvalidIdentity(parts_fault(prefix, run, domain, version) or _SHAPE)
    return Identity(prefix, run, domain.lower(), version)


def prefix_fault(value: str) -> str | None:
    """Return why ``value`` is no prefix, or None."""
    return None if len(value) <= MAX_PART and _prefix(value) else _PREFIX_RANGE


def run_fault(value: str) -> str | None:
    """Return why ``value`` is no run, or None."""
    return None if len(value) <= MAX_PART and _run(value) else _RUN_RANGE


def local_fault(prefix: str, run: str) -> str | None:
    """Return why a valid prefix and a valid run do not go together, or None: they can only be too long."""
    return None if len(prefix) + len("-") + len(run) <= MAX_LOCAL else _LOCAL_RANGE


def domain_fault(value: str) -> str | None:
    """Return why ``value`` is no domain, or None. Upper case is none: it is folded."""
    return None if len(value) <= MAX_DOMAIN and _domain(value) else _DOMAIN_RANGE


def version_fault(value: str) -> str | None:
    """Return why ``value`` is no version, or None."""
    return None if _version(value) else _VERSION_RANGE


def parts_fault(prefix: str, run: str, domain: str, version: str) -> str | None:
    """Return the first fault of the four parts, or None."""
    return (
        prefix_fault(prefix)
        or run_fault(run)
        or local_fault(prefix, run)
        or domain_fault(domain)
        or version_fault(version)
    )


def _text_fault(text: str) -> str | None:
    """Return why a text is no identity, part by part; a test holds that it agrees with the regular expression."""
    if len(text) > MAX_ID:
        return f"An identity has at most {MAX_ID} characters."
    local, at, rest = text.partition("@")
    if not at:
        return "An identity has an '@' between prefix-run and domain."
    domain, slash, ending = rest.partition("/")
    if not slash or not ending.endswith(":id"):
        return "An identity ends with '/version:id', such as '/v1:id'."
    prefix, hyphen, run = local.partition("-")
    if not hyphen:
        return "An identity has a '-' between prefix and run."
    return parts_fault(prefix, run, domain, ending.removesuffix(":id"))
