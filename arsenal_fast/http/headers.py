"""Reads a valid field block into ``Fields``: the fields that matter, and the rules for repeated ones.

The grammar was checked before (``grammar.field_block``). All rules that decide where a message ends are here: a
doubtful length is refused, never guessed (RFC 9112 6.3, rules 1 to 4).
"""

import ipaddress
from typing import Final

from arsenal_fast.errors import MessageError
from arsenal_fast.http.grammar import CONTENT_LENGTH, HOST, INTERESTING_FIELDS, TOKEN
from arsenal_fast.http.request import Fields

_OWS: Final = b" \t"

# A length of more digits is over every limit; int() is not called, as its cost grows with the square of the digits.
_LENGTH_DIGITS: Final = 18
_SATURATED_LENGTH: Final = 10**_LENGTH_DIGITS


REFUSED: Final = frozenset({b"host", b"content-length", b"content-type", b"authorization", b"origin"})
"""Fields that may not come twice, since two parsers could use different lines: 400."""

DROPPED: Final = frozenset({b"x-request-id", b"traceparent"})
"""Fields that are ignored, as if absent, where they come twice. Lines of all others are one list (RFC 9110 5.3)."""


def read_fields(data: bytes, start: int, end: int) -> Fields:
    """Return the fields of the valid block ``data[start:end]``, which follows the request line's CRLF.

    Raises ``MessageError`` 400, 417 or 501.
    """
    found: list[tuple[bytes, bytes]] = INTERESTING_FIELDS.findall(data, start - 1, end)
    # A value holds no white space but that of OWS, and stripping all of it is quicker where there is much.
    values: dict[bytes, bytes] = {name.lower(): value.strip() for name, value in found}
    if len(values) != len(found):
        values = _merge(found)
    get = values.get

    host = get(b"host")
    if host:
        check_host(host)
    close = keep_alive = chunked = expect_continue = False
    content_length = None
    connection = get(b"connection")
    if connection is not None:
        options = _members(connection)
        close, keep_alive = b"close" in options, b"keep-alive" in options
    if b"content-length" in values:
        content_length = _content_length(values[b"content-length"])
    if b"transfer-encoding" in values:
        chunked = _is_chunked(values[b"transfer-encoding"])
        if content_length is not None:
            raise MessageError(400, "Content-Length and Transfer-Encoding exclude each other.")
    if b"expect" in values:
        expect_continue = _expects_continue(values[b"expect"])

    return Fields(
        data[start:end],
        host,
        close,
        keep_alive,
        content_length,
        chunked,
        expect_continue,
        get(b"content-type", b""),
        get(b"content-encoding", b""),
        get(b"accept", b""),
        get(b"accept-encoding", b""),
        get(b"authorization"),
        get(b"origin"),
        get(b"x-request-id"),
        get(b"x-forwarded-for"),
        get(b"traceparent"),
        get(b"if-none-match"),
        get(b"access-control-request-method"),
        get(b"access-control-request-headers"),
    )


def check_host(host: bytes) -> None:
    """Raise ``MessageError`` 400 unless ``host`` is a uri-host with an optional port (RFC 9110 7.2)."""
    parts = HOST.fullmatch(host)
    if parts is None:
        raise MessageError(400, "Host is not valid.")
    ipv6, port = parts.groups()
    if ipv6 is not None:
        try:
            ipaddress.IPv6Address(ipv6.decode("ascii"))
        except ValueError:
            raise MessageError(400, "Host is not valid.") from None
    if port and int(port) > 65535:
        raise MessageError(400, "Host has a port over 65535.")


def _merge(found: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    lines: dict[bytes, list[bytes]] = {}
    for name, value in found:
        lines.setdefault(name.lower(), []).append(value.strip(_OWS))
    merged = {}
    for name, values in lines.items():
        if len(values) > 1 and name in REFUSED:
            raise MessageError(400, f"{name.decode('ascii').title()} came more than once.")
        if len(values) == 1 or name not in DROPPED:
            merged[name] = b",".join(values)
    return merged


def _members(value: bytes) -> list[bytes]:
    """Return the members of a list in lower case, without empty ones (RFC 9110 5.6.1.2)."""
    members = [member.strip(_OWS) for member in value.lower().split(b",")]
    return [member for member in members if member]


def _content_length(value: bytes) -> int:
    if CONTENT_LENGTH.fullmatch(value) is None:
        raise MessageError(400, "Content-Length is not a number.")
    digits = value.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= _LENGTH_DIGITS else _SATURATED_LENGTH


def _is_chunked(value: bytes) -> bool:
    """Return True; raises unless the field is exactly one ``chunked`` (RFC 9112 6.1, 6.3)."""
    if value.lower() == b"chunked":
        return True
    codings = [coding.partition(b";")[0].strip(_OWS) for coding in value.lower().split(b",")]
    if any(TOKEN.fullmatch(coding) is None for coding in codings):
        raise MessageError(400, "Transfer-Encoding is not valid.")
    if b"chunked" in codings[:-1] or codings == [b"chunked"]:
        raise MessageError(400, "In Transfer-Encoding, chunked comes once, last and without parameters.")
    raise MessageError(501, "Of transfer codings only chunked is known.")


def _expects_continue(value: bytes) -> bool:
    expectations = _members(value)
    if any(expectation != b"100-continue" for expectation in expectations):
        raise MessageError(417, "Of expectations only 100-continue is known.")
    return bool(expectations)
