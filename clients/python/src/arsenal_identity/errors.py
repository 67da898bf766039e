"""The exceptions of the client.

IdentityServiceError
├── NoAnswerError            no answer came: refused, timed out, cut off
├── UnexpectedAnswerError    an answer that this service does not give: another server, a proxy's page
├── TokenError               a token that an offline check refuses
└── ProblemError             a problem document (RFC 9457)
    ├── InvalidRequestError  400, 413, 415: ``faults`` names the members
    ├── UnauthorizedError    401: the service token is missing or bad
    ├── ForbiddenError       403: it lacks the scope
    ├── NotFoundError        404: no record of the identity
    ├── RateLimitedError     429: the limit is used up
    └── UnavailableError     500 and above
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final


class IdentityServiceError(Exception):
    """Anything that keeps a call from its result."""


class NoAnswerError(IdentityServiceError):
    """No answer came; ``__cause__`` is httpx's error. The call may have been carried out."""


class UnexpectedAnswerError(IdentityServiceError):
    """An answer that is not of this service."""


class TokenError(IdentityServiceError):
    """A token that an offline check refuses, with the reason."""


@dataclass(frozen=True)
class Fault:
    """One bad member (``pointer``, RFC 6901) or query parameter of a request."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class ProblemError(IdentityServiceError):
    """A problem document; its text is ``detail`` with the faults."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        kind: str = "about:blank",
        faults: Sequence[Fault] = (),
        violated_policies: Sequence[str] = (),
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        """
        Args:
            kind: the document's ``type``.
            violated_policies: names of the rate-limit policies that are used up.
            retry_after_s: seconds after which the request is worth repeating, where the service says so.
            request_id: the ``X-Request-Id`` of the request, where it had one.
        """
        named = "".join(f" {fault.pointer or fault.parameter}: {fault.detail}" for fault in faults)
        super().__init__(f"{status} {title}: {detail}{named}")
        self.status = status
        self.title = title
        self.detail = detail
        self.kind = kind
        self.faults = tuple(faults)
        self.violated_policies = tuple(violated_policies)
        self.retry_after_s = retry_after_s
        self.request_id = request_id


class InvalidRequestError(ProblemError):
    """The request, or members of it, are malformed."""


class UnauthorizedError(ProblemError):
    """The service token is missing or bad."""


class ForbiddenError(ProblemError):
    """The service token lacks the scope, or the identity's token is not its own."""


class NotFoundError(ProblemError):
    """There is no record of the identity."""


class RateLimitedError(ProblemError):
    """The caller has used up its limit; ``retry_after_s`` says when to try again."""


class UnavailableError(ProblemError):
    """The service can't carry out the request now."""


_OF_STATUS: Final[dict[int, type[ProblemError]]] = {
    400: InvalidRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    413: InvalidRequestError,
    415: InvalidRequestError,
    429: RateLimitedError,
}


def problem(status: int, document: dict[str, Any], retry_after_s: float | None, request_id: str | None) -> ProblemError:
    """Return the exception of a problem document."""
    kind = UnavailableError if status >= 500 else _OF_STATUS.get(status, ProblemError)
    return kind(
        status,
        str(document.get("title", "Error")),
        str(document.get("detail", "")),
        kind=str(document.get("type", "about:blank")),
        faults=[
            Fault(str(fault["detail"]), fault.get("pointer"), fault.get("parameter"))
            for fault in document.get("errors", ())
        ],
        violated_policies=document.get("violated-policies", ()),
        retry_after_s=retry_after_s,
        request_id=request_id,
    )
