"""The bounds of one message."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits in bytes, unless another unit is named; beyond a limit the response has this status."""

    target: int = 8192
    """Request target (414). RFC 9112 section 3 asks for at least 8,000."""
    head: int = 16384
    """Field section from behind the request line through its empty line (431)."""
    fields: int = 100
    """Field lines of one section, counted (431); the same for a trailer section (431)."""
    body: int = 1_048_576
    """Body without its framing (413)."""
    chunk_line: int = 1024
    """One chunk's size line with its extensions and CRLF (400)."""
    chunk_extensions: int = 16384
    """All chunk extensions of one body, so that small chunks can't carry them without end (400)."""
    trailer: int = 8192
    """Trailer section through its empty line (431)."""
