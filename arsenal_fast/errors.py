"""The exceptions of this package: the peer's faults and ours.

::

    ArsenalError
    ├── ClientError               theirs: carries the status of the response
    │   ├── MessageError          an invalid HTTP message; the connection closes
    │   └── ProblemError          a complete message with bad content; the connection stays open
    ├── InvalidIdentity           parts that make no identity (carries the reason)
    └── ConfigurationError        the operator's: one sentence for each fault; exit status 78

Expected outcomes (limited, unknown identity, store away) are return values and never raised.
No text may contain a secret: clients and logs get them.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypedDict


class ArsenalError(Exception):
    """Root of all errors of this package."""


class ClientError(ArsenalError):
    """A fault of the peer; ``status`` of the response (RFC 9110 section 15)."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


class MessageError(ClientError):
    """An invalid message: respond with ``status``, read nothing more, close."""

    origin: bytes | None = None
    """The message's Origin field, where it was read."""


class Fault(TypedDict, total=False):
    """One bad member: ``pointer`` (RFC 6901, into a body) or ``parameter`` (of a query), and a sentence."""

    pointer: str
    parameter: str
    detail: str


class ProblemError(ClientError):
    """A complete request with bad content; the response is ``application/problem+json`` (RFC 9457)."""

    def __init__(
        self,
        status: int,
        detail: str,
        faults: Sequence[Fault] = (),
        lines: bytes = b"",
        kind: str = "",
        members: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            lines: header lines of the response, each with its CRLF.
            kind: name of a kind in :mod:`arsenal_fast.api.problems`; empty: the usual one of the status.
            members: extension members of the kind.
        """
        super().__init__(status, detail)
        self.faults = tuple(faults)
        self.lines = lines
        self.kind = kind
        self.members = members


class InvalidIdentity(ArsenalError):
    """The parts make no identity; the message is one plain sentence that says why."""


class ConfigurationError(ArsenalError):
    """The configuration can't be used; ``faults`` has one sentence for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__(" ".join(faults))
        self.faults = tuple(faults)
