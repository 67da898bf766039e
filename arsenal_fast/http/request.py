"""A parsed request, in octets, never decoded text.

``Fields`` has the fields that the service reads. It is built once for each distinct block and shared by all requests
that repeat the block, so it must not be changed.
"""

from dataclasses import dataclass


@dataclass(slots=True, eq=False, repr=False)
class Fields:
    """The field section of one or many requests. ``None``, or empty where noted: the field is absent.

    There is no ``repr``: the values hold credentials.
    """

    block: bytes = b"\r\n"
    """The raw octets behind the request line's CRLF, up to and including the empty line's CRLF; empty where the message
    matched a template."""
    host: bytes | None = None
    """uri-host [":" port], checked; of an absolute-form its authority (RFC 9112 3.2.2). Empty is legal."""
    connection_close: bool = False
    connection_keep_alive: bool = False
    content_length: int | None = None
    chunked: bool = False
    expect_continue: bool = False
    content_type: bytes = b""
    content_encoding: bytes = b""
    accept: bytes = b""
    accept_encoding: bytes = b""
    authorization: bytes | None = None
    origin: bytes | None = None
    request_id: bytes | None = None
    """X-Request-Id as sent, unchecked; ``None`` also where it came twice."""
    forwarded_for: bytes | None = None
    """All X-Forwarded-For lines in their order, joined with a comma."""
    traceparent: bytes | None = None
    """As sent, unchecked; ``None`` also where it came twice (Trace Context 3.2)."""
    if_none_match: bytes | None = None
    request_method: bytes | None = None
    """Access-Control-Request-Method."""
    request_headers: bytes | None = None
    """Access-Control-Request-Headers."""

    def varied(
        self,
        forwarded_for: bytes | None,
        request_id: bytes | None,
        traceparent: bytes | None,
        content_length: int | None,
        block: bytes,
    ) -> "Fields":
        """Return a copy with other values of the fields that vary; inlined, as it is on the hot path."""
        return Fields(
            block,
            self.host,
            self.connection_close,
            self.connection_keep_alive,
            content_length,
            self.chunked,
            self.expect_continue,
            self.content_type,
            self.content_encoding,
            self.accept,
            self.accept_encoding,
            self.authorization,
            self.origin,
            request_id,
            forwarded_for,
            traceparent,
            self.if_none_match,
            self.request_method,
            self.request_headers,
        )


@dataclass(slots=True, eq=False, repr=False)
class Request:
    """A complete message."""

    method: bytes
    target: bytes
    """The request target as sent."""
    path: bytes
    """Raw, without the query; of an absolute-form its path; ``*`` and an authority stay what they are."""
    query: bytes
    """Raw, without the question mark; empty also where there was none."""
    minor: int
    """0 or 1: a later HTTP/1.x is handled as HTTP/1.1 (RFC 9110 2.5)."""
    fields: Fields
    body: bytes
    """The content; chunks are joined, their extensions and the trailer section dropped."""
    keep_alive: bool
    """Whether the connection may go on after this message; if not, the parser reads nothing behind it."""
