"""Parses the text of one environment variable into a value.

A parser takes the text, which is never empty, and returns the value, or raises ValueError with the rest of a
sentence that begins with the variable's name: "must be a whole number from 1 to 65535, not '0x50'".
Rules of this file: no leniency that a person would not expect (``int()`` takes "1_0", " 7" and other scripts'
digits), every refusal names the allowed range, and a text that may hold a secret is never repeated.
"""

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any, Final

from arsenal_fast.identity.grammar import domain_fault, prefix_fault
from arsenal_fast.ledger.url import PostgresAddress
from arsenal_fast.ledger.url import parse_url as parse_database_url
from arsenal_fast.oidc.rules import Rules, parse_rules
from arsenal_fast.ratelimit.client import ClientAddresses
from arsenal_fast.ratelimit.policies import Policies, parse_policies
from arsenal_fast.secret import MASK, Secret, without_passwords
from arsenal_fast.stores.redis.url import SCHEMES, parse_url

MEMORY: Final = "memory://"  # the REDIS_URL of the embedded store

AUTO: Final = 0  # the value of "auto": it depends on the machine and on other variables

_SHIFTS: Final = {"": 0, "K": 10, "M": 20, "G": 30}
"""Powers of two, as in Docker and Kubernetes ("Mi"): M is MiB."""

MAX_KEY_FILE: Final = 65_536  # bytes of a PEM file: eight keys have about 1 KiB

MAX_RULES_FILE: Final = 1_048_576  # characters of the rules for ID tokens, and of the limits file

_ECHO: Final = 40  # characters of a bad text that are repeated to the operator

# RFC 3986 section 3.2.2 without the oddities of reg-name: RFC 1123 names (an underscore too, as Docker's
# service names have it), IPv4, IPv6 in brackets.
_HOST: Final = r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])"
_PORT: Final = r"(?::(?P<port>[0-9]{1,5}))?"

# All subdomains of a domain of two labels or more: "*.com" would be too much.
_SUBDOMAINS: Final = r"\*\.[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
# A path of RFC 3986 unreserved characters only: it is copied into JSON, headers and HTML.
_PATH: Final = r"(?P<path>(?:/[A-Za-z0-9._~-]+)*/?)"
_URL = re.compile(rf"(?P<scheme>https?)://(?P<host>{_HOST}|{_SUBDOMAINS}){_PORT}{_PATH}", re.IGNORECASE)
# The origin of an app's own pages in a web view: capacitor://localhost, ionic://localhost, app://com.example.
_APP = re.compile(r"(?!(?:https?|ftp|file|wss?|data|blob|javascript):)[a-z][a-z0-9+.-]{1,31}://[a-z0-9.-]{1,253}")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def shown(text: str) -> str:
    """Return the text for a message: escaped, cut, or masked where it may hold a secret."""
    # A password in a URL, a PEM block in place of its path.
    if "@" in text or "-----" in text or without_passwords(text) != text:
        return f"the {len(text)} characters it has"
    return ascii(text if len(text) <= _ECHO else text[:_ECHO] + "...")


@dataclass(frozen=True, slots=True)
class Reader:
    """A parser, and in words what it allows."""

    parse: Callable[[str], object]
    allowed: str

    def __call__(self, text: str) -> Any:
        return self.parse(text)


def _number(pattern: str, convert: Callable[[str], float], what: str, low: float, high: float) -> Reader:
    """Return a parser of numbers in a range. ``what``: how a message names them."""
    allowed = f"{low:.15g} to {high:.15g}"

    def parse(text: str) -> float:
        if re.fullmatch(pattern, text) and low <= (value := convert(text)) <= high:
            return value
        raise ValueError(f"must be a {what} from {allowed}, not {shown(text)}")

    return Reader(parse, allowed)


def whole(low: int, high: int) -> Reader:
    """Return a parser of whole numbers: 1*DIGIT."""
    return _number(r"[0-9]{1,18}", int, "whole number", low, high)


def seconds(low: float, high: float) -> Reader:
    """Return a parser of seconds, perhaps with decimals."""
    return _number(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", float, "number of seconds", low, high)


share: Final = _number(r"[01](?:\.[0-9]{1,9})?", float, "number", 0, 1)
"""Parses a part of a whole."""


def one_of(*words: str) -> Reader:
    """Return a parser of one of a few words, in any case."""
    allowed = ", ".join(words)

    def parse(text: str) -> str:
        if (word := text.lower()) in words:
            return word
        raise ValueError(f"must be one of {allowed}, not {shown(text)}")

    return Reader(parse, allowed)


def byte_count(low: int, high: int) -> Reader:
    """Return a parser of a size: bytes, or K, M, G (KiB, MiB, GiB; an i and a B may follow)."""
    allowed = f"{low >> 20}M to {high >> 30}G"

    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,15})([KMG]?)I?B?", text.upper())
        if match is not None and low <= (value := int(match[1]) << _SHIFTS[match[2]]) <= high:
            return value
        raise ValueError(f"must be a size from {allowed}, such as 200M, not {shown(text)}")

    return Reader(parse, allowed)


def auto_or(reader: Reader) -> Reader:
    """Return a parser that also accepts AUTO."""

    def parse(text: str) -> object:
        if text.lower() == "auto":
            return AUTO
        try:
            return reader(text)
        except ValueError as fault:
            raise ValueError(str(fault).replace("must be ", "must be auto, or ", 1)) from None

    return Reader(parse, f"{reader.allowed}, auto")


def listen_address(text: str) -> str:
    """Parse an address of this machine, or localhost. Other names are refused: shells export HOST as the machine's
    name, and conda as its triplet; listening there would be unexpected."""
    if text.lower() == "localhost":
        return "localhost"
    try:
        if "%" in text:
            raise ValueError
        return str(ip_address(text))
    except ValueError:
        raise ValueError(
            f"must be an IP address (0.0.0.0 for all IPv4, :: for all IPv4 and IPv6) or localhost, not {shown(text)}"
        ) from None


def domain(text: str) -> str:
    """Parse the domain of an identity, folded to lower case."""
    if fault := domain_fault(text):
        raise ValueError(f"is refused, {shown(text)}: {fault.rstrip('.')}")
    return text.lower()


def trusted_proxies(text: str) -> tuple[str, ...]:
    """Parse addresses and CIDRs, separated by commas."""
    for entry in _entries(text):
        try:
            ClientAddresses((entry,))
        except ValueError:
            raise ValueError(
                "must be IP addresses or CIDRs without host bits, between commas, such as "
                f"10.244.7.0/24,2001:db8:0:7::/64; one is {shown(entry)}"
            ) from None
    return _entries(text)


def origins(text: str) -> tuple[str, ...]:
    """Parse origins as browsers send them (RFC 6454 section 6.2): scheme, host, and a port unless default."""
    entries = _entries(text)
    if "*" in entries and len(entries) > 1:
        raise ValueError("must be * alone, or origins between commas, not both")
    return tuple(dict.fromkeys(entry if entry == "*" else _origin(entry) for entry in entries))


def _entries(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entry.strip(" ") for entry in text.split(",")))


def _origin(entry: str) -> str:
    if _APP.fullmatch(entry):
        return entry
    match = _URL.fullmatch(entry)
    if match is None or match["path"] or not _is_authority(match):
        raise ValueError(
            "must be origins of the form https://host, https://host:port, https://*.domain.tld (http too) or an app's "
            "(capacitor://localhost), without a path or a slash at the end, between commas, or * for all; one is "
            f"{shown(entry)}"
        )
    return _authority(match)


def base_url(text: str) -> str:
    """Parse the URL of the service for its clients, without a slash at the end."""
    match = _URL.fullmatch(text)
    if match is None or match["host"].startswith("*") or not _is_authority(match):
        raise ValueError(
            "must be an http or https URL without user, query and fragment, such as "
            f"https://identity.api.yourbook.com, not {shown(text)}"
        )
    return _authority(match) + match["path"].rstrip("/")


def redis_url(text: str) -> Secret:
    """Parse a Redis URL; user and password are masked where it is shown."""
    if text == MEMORY:
        return Secret(text, text)
    scheme = text.partition("://")[0]
    if scheme not in SCHEMES or "://" not in text:
        raise ValueError(
            "must begin with redis://, rediss://, redis+sentinel://, redis+cluster:// or unix://, "
            f"or be {MEMORY}; its value is not shown"
        )
    try:
        address = parse_url(text)
    except ValueError as fault:
        raise ValueError(f"is refused: {str(fault).rstrip('.')}") from None
    credentials = f"{MASK}@" if address.user or address.password else ""
    database = f"?db={address.database}" if address.path else f"/{address.database}"
    return Secret(text, f"{scheme}://{credentials}{address}{database}")


def jwt_secret(text: str) -> Secret:
    """Parse a secret of any text without a line end, which ``echo key | base64`` would leave in a Kubernetes Secret."""
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(
            "must have no line end or other control character (was it made by echo without -n?); its value is not shown"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8; its value is not shown") from None
    return Secret(text)


def readable_file(text: str) -> str:
    """Parse the path of a readable file."""
    if text.startswith("-----BEGIN"):
        raise ValueError("must be the path of a PEM file, not its content")
    if fault := _file_fault(text):
        raise ValueError(f"must be the path of a PEM file that can be read; {shown(text)}: {fault}")
    return text


def password_file(text: str) -> str:
    """Parse the path of a password file; not quoted in messages, since it may be the password itself."""
    if _file_fault(text):
        raise ValueError("must be the path of a file that can be read and has the password; its value is not shown")
    return text


def _file_fault(path: str) -> str | None:
    """Return why a file can't be read, or None."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe would wait
            return "not a file"
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror
    except ValueError:  # a NUL
        return "not a file"
    return None


def _is_authority(match: re.Match[str]) -> bool:
    """Whether the host and port, whose characters a pattern has checked, are valid."""
    port, host = match["port"], match["host"]
    if port is not None and not 1 <= int(port) <= 65535:
        return False
    try:
        if host.startswith("["):
            ip_address(host[1:-1])
        elif re.fullmatch(r"[0-9.]+", host):
            ip_address(host)
    except ValueError:
        return False
    return ".." not in host


def _authority(match: re.Match[str]) -> str:
    scheme, port = match["scheme"].lower(), match["port"]
    suffix = "" if port is None or port.lstrip("0") == _DEFAULT_PORTS[scheme] else f":{int(port)}"
    return f"{scheme}://{match['host'].lower()}{suffix}"


def private_key(text: str) -> Secret:
    """Parse Ed25519 keys in PEM: the path of a file, or the text itself, with line ends or ``\\n`` in their place."""
    if text.startswith(("/", "file:")):
        path = text.removeprefix("file://").removeprefix("file:")
        if fault := _file_fault(path):
            named = f"; {shown(path)}" if "." in path else ""  # base64 has no dot: it is no key in place of its path
            raise ValueError(f"must be the path of a PEM file that can be read{named}: {fault}")
        with open(path, encoding="ascii", errors="replace") as file:
            return Secret(file.read(MAX_KEY_FILE))
    if "-----BEGIN" not in text:
        raise ValueError("must be a PEM text, or the path of one that begins with / or file:; it is not shown")
    return Secret(text.replace("\\n", "\n"))


def oidc_rules(text: str) -> Rules:
    """Parse the rules for ID tokens: the path of a file, or JSON."""
    path = ""
    if text.startswith(("/", "file:")):
        path = _path(text)
        text = _content(path)
    elif not text.startswith("{"):
        raise ValueError("must be JSON, or the path of a file that begins with / or file:")
    if find_spec("cryptography") is None:
        raise ValueError("needs the package cryptography: pip install cryptography")
    return parse_rules(text, path)


def limits_file(text: str) -> Policies:
    """Parse the path of a limits file, and the file."""
    path = _path(text)
    return parse_policies(_content(path), path)


def _path(text: str) -> str:
    return text.removeprefix("file://").removeprefix("file:")


def _content(path: str) -> str:
    """Return the text of a file of rules or limits."""
    if fault := _file_fault(path):
        raise ValueError(f"must be the path of a file that can be read; {shown(path)}: {fault}")
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_RULES_FILE + 1)
    except OSError as error:
        raise ValueError(f"must be the path of a file that can be read; {shown(path)}: {error.strerror}") from None
    if len(text) > MAX_RULES_FILE:
        raise ValueError(f"must be the path of a file of at most {MAX_RULES_FILE} characters; {shown(path)} has more")
    return text


def parameter_names(text: str) -> tuple[str, ...]:
    """Parse names of query parameters, separated by commas; ``none`` for no name."""
    if text == "none":
        return ()
    for entry in _entries(text):
        if re.fullmatch(r"[A-Za-z0-9_.~-]{1,64}\*?", entry) is None:
            raise ValueError(
                f"must be names of A-Z a-z 0-9 _ . ~ - between commas, perhaps with * at the end, or none; one is "
                f"{shown(entry)}"
            )
    return _entries(text)


def protected_prefixes(text: str) -> tuple[str, ...]:
    """Parse prefixes, separated by commas."""
    for entry in _entries(text):
        if prefix_fault(entry):
            raise ValueError(f"must be prefixes of A-Z a-z 0-9 _ . between commas; one is {shown(entry)}")
    return _entries(text)


def database_url(text: str) -> Secret:
    """Parse a database URL; the password is masked where it is shown."""
    try:
        address = parse_database_url(text)
    except ValueError as fault:
        raise ValueError(f"is refused: {str(fault).rstrip('.')}") from None
    if isinstance(address, PostgresAddress):
        return Secret(text, f"postgresql://{MASK}@{address.host}/{address.database}")
    return Secret(text, text)
