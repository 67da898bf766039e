"""Request templates: the part that the requests of a connection have in common.

A client's own connection repeats its field block byte for byte; a proxy's repeats all but a few values (the client's
address, a request id, a trace context, the length of a body). A *template* is a valid block cut at those values, its
*slots*. A message that matches has the same fields, name by name and in the same order, with other values in the slots,
so nothing of it needs to be parsed again: one match proves the request line, every line and where the message ends.
A slot accepts less than HTTP allows there (visible ASCII and inner spaces). All else does not match, and is parsed; a
test holds that both give the same request.

A pattern costs a millisecond to compile. So all connections of a worker share templates, and none is compiled before
its block has come ``WORTHWHILE`` times.
"""

import re
from collections.abc import Callable
from typing import Final

from arsenal_fast.http.grammar import METHOD_AND_TARGET
from arsenal_fast.http.limits import Limits
from arsenal_fast.http.request import Fields, Request

WORTHWHILE: Final = 16
"""Equal blocks after which a template is compiled; by then parsing has cost as much as the compiling will."""

REMEMBERED: Final = 256
"""Templates kept, and candidates counted: a bound for the kinds of clients and proxies of a worker."""

MAX_HEAD: Final = 4096
"""Bytes of a head that may match; longer ones are rare, and may be over a limit."""

LONG: Final = 128
"""Bytes before the first slot from which they are compared: a pattern goes byte by byte, 2 us for a service token. For
fewer bytes one pattern over everything is faster."""

MAX_BLOCK: Final = 2048
"""Bytes of a block that may become a template; browsers with many cookies have more."""

# Fields whose values change from request to request; all others have to be equal. The leading LF is what the regex
# engine searches for: without it a block of 1.4 kB takes 150 us.
_SLOTS: Final = re.compile(
    rb"\n(?:(x-forwarded-for)|(x-request-id)|(traceparent)|(content-length)|(arsenal-subject)|x-real-ip|forwarded|via"
    rb"|tracestate|x-b3-[a-z]{1,12}|x-correlation-id|x-amzn-trace-id|x-cloud-trace-context|cf-ray|cf-connecting-ip"
    rb"|x-envoy-[a-z-]{1,32}):[ \t]*([\x21-\x7e](?:[\x20\x21-\x7e]*[\x21-\x7e])?)(?=\r\n)",
    re.IGNORECASE,
)
_FORWARDED_FOR, _REQUEST_ID, _TRACEPARENT, _CONTENT_LENGTH, _SUBJECT = range(5)
"""The roles of slots: the groups of _SLOTS, from 0."""
_ROLES: Final = 5
_UNREAD: Final = -1

_LINE: Final = rb"(" + METHOD_AND_TARGET + rb" HTTP/1\.1)\r\n"
_LINE_GROUPS: Final = 5  # line, method, target, path, query
_line: Final = re.compile(_LINE[: -len(rb"\r\n")]).fullmatch
_VALUE: Final = rb"[\x21-\x7e]++(?: ++[\x21-\x7e]++)*"
_VALUE_OF: Final = {
    _REQUEST_ID: rb"[\x21-\x7e]{1,128}+",  # one that is echoed
    _CONTENT_LENGTH: rb"0|[1-9][0-9]{0,8}+",
    _SUBJECT: rb"[\x21-\x7e]{1,128}+",
}

TemplateMatch = tuple[bytes, bytes, bytes, bytes, "re.Match[bytes] | None"]
"""The parts of a matching message: its line (without CRLF), Arsenal-Subject or where it has none X-Forwarded-For,
X-Request-Id and body, each empty where there is none; and what the rest of the request is made of."""


class RequestTemplate:
    """The template of one block, with the fields that all of its requests have."""

    __slots__ = (
        "_cut",
        "_fields",
        "_max_body",
        "_pattern",
        "_seen",
        "_start",
        "_unseen",
        "end",
        "has_body",
    )

    def __init__(self, fields: Fields, parts: tuple[bytes, ...], roles: tuple[int, ...], limits: Limits) -> None:
        """``parts``: the block between its slots; ``roles``: one of each slot."""
        self._fields = fields
        self._max_body = limits.body
        self.end = b"" if roles else b"\r\n" + fields.block
        """What is behind the request line, where that is constant: it is compared. Empty where there are slots."""
        self._cut = -2 - len(fields.block)
        self.has_body = _CONTENT_LENGTH in roles
        """Whether such a message announces a body, perhaps an empty one."""
        is_long = bool(roles) and len(parts[0]) >= LONG and not self.has_body
        self._start = b"\r\n" + parts[0] if is_long else b""
        """What follows the line up to the first slot, where it is long: it is compared, and the line is not matched."""
        # Escaping a block of 1.4 kB takes 150 us.
        pattern = [b"()" * _LINE_GROUPS] if self._start else [_LINE, re.escape(parts[0]) if roles else b""]
        group_of: dict[int, int] = {}
        for role, part in zip(roles, parts[1:], strict=True):
            value = _VALUE_OF.get(role, _VALUE)
            if role != _UNREAD:
                group_of[role] = _LINE_GROUPS + 1 + len(group_of)
            pattern.append((b"(?:%b)" if role == _UNREAD else b"(%b)") % value + re.escape(part))
        nothing = _LINE_GROUPS + 1 + len(group_of)
        pattern.append(rb"()(.*+)" if self.has_body else rb"()()")
        self._seen: tuple[int, ...] = (
            1,
            group_of.get(_SUBJECT, group_of.get(_FORWARDED_FOR, nothing)),
            group_of.get(_REQUEST_ID, nothing),
            group_of.get(_CONTENT_LENGTH, nothing),
            nothing + 1,
        )
        if is_long:
            self._seen = self._seen[1:3]
        self._unseen = tuple(group_of.get(role, nothing) for role in (_FORWARDED_FOR, _TRACEPARENT, _SUBJECT))
        self._pattern = re.compile(b"".join(pattern), re.DOTALL).fullmatch if roles else _line

    @property
    def match(self) -> Callable[[bytes], TemplateMatch | None]:
        """Returns the parts of a message if it is one of this template, else None.

        A template without slots, or with a long part before the first, does not check the request line: :meth:`request`
        does that. To be read once for a connection: it is no attribute, which would make a cycle.
        """
        if self.end:
            return self._match_constant
        return self._match_behind_start if self._start else self._match_pattern

    def _match_constant(self, data: bytes) -> TemplateMatch | None:
        return (data[: self._cut], b"", b"", b"", None) if data.endswith(self.end) else None

    def _match_behind_start(self, data: bytes) -> TemplateMatch | None:
        end = data.find(b"\r\n")
        start = self._start
        if not data.startswith(start, end) or len(data) > MAX_HEAD:
            return None
        found = self._pattern(data, end + len(start))
        if found is None:
            return None
        named, request_id = found.group(*self._seen)
        return data[:end], named, request_id, b"", found

    def _match_pattern(self, data: bytes) -> TemplateMatch | None:
        found = self._pattern(data)
        if found is None:
            return None
        line, named, request_id, length, body = found.group(*self._seen)
        if length and (int(length) != len(body) or len(body) > self._max_body):
            return None
        if len(data) - len(body) > MAX_HEAD:
            return None
        return line, named, request_id, body, found

    def request(self, match: TemplateMatch) -> Request | None:
        """Return the request as parsed, but without the bytes of the block; None: invalid request line."""
        line, _, request_id, body, found = match
        of_line = found
        if found is None or self._start:
            of_line = _line(line) if len(line) <= MAX_HEAD else None
        if of_line is None:
            return None
        method, target, path, query = of_line.group(2, 3, 4, 5)
        if found is not None:
            forwarded_for, traceparent, subject = found.group(*self._unseen)
            length = len(body) if self.has_body else None
            fields = self._fields.varied(
                forwarded_for or None, request_id or None, traceparent or None, length, subject or None, b""
            )
            return Request(method, target, path, query or b"", 1, fields, body, True)
        return Request(method, target, path, query or b"", 1, self._fields, b"", True)


class RequestTemplates:
    """The templates of a worker's connections."""

    def __init__(self, limits: Limits, worthwhile: int = WORTHWHILE) -> None:
        self._limits = limits
        self._worthwhile = worthwhile
        self._templates: dict[tuple[bytes, ...], RequestTemplate] = {}
        self._seen: dict[tuple[bytes, ...], int] = {}

    def of(self, request: Request) -> RequestTemplate | None:
        """Return the template of a valid request once it has repeated; None also if it can't have one."""
        fields = request.fields
        block = fields.block
        if not request.keep_alive or not request.minor or fields.chunked or fields.expect_continue:
            return None  # only the parser handles such framing and expectations
        if len(block) > MAX_BLOCK or not request.target.startswith(b"/"):
            return None  # an absolute-form also names the host
        parts: list[bytes] = []
        roles: list[int] = []
        position = 0
        for slot in _SLOTS.finditer(b"\n" + block):
            roles.append(next((role for role in range(_ROLES) if slot[1 + role]), _UNREAD))
            parts.append(block[position : slot.start(_ROLES + 1) - 1])
            position = slot.end(_ROLES + 1) - 1
        parts.append(block[position:])
        if not _is_read_by_line(fields, roles):
            return None
        if not roles:
            return RequestTemplate(fields, tuple(parts), (), self._limits)
        return self._shared(fields, tuple(parts), tuple(roles))

    def _shared(self, fields: Fields, parts: tuple[bytes, ...], roles: tuple[int, ...]) -> RequestTemplate | None:
        template = self._templates.get(parts)
        if template is not None:
            return template
        seen = self._seen.pop(parts, 0) + 1
        if seen < self._worthwhile:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[parts] = seen
            return None
        if len(self._templates) >= REMEMBERED:
            self._templates.clear()
        template = self._templates[parts] = RequestTemplate(fields, parts, roles, self._limits)
        return template


def _is_read_by_line(fields: Fields, roles: list[int]) -> bool:
    """Whether each parsed field with a role has the value of exactly one slot.

    False where lines are joined or cancel each other, or a slot does not accept a value: these are parsed.
    """
    read = (fields.forwarded_for, fields.request_id, fields.traceparent, fields.content_length, fields.subject)
    return all(roles.count(role) == (value is not None) for role, value in enumerate(read))
