"""The core without I/O: a call is a generator that says what to send and how long to wait.

A driver (``Client``, ``AsyncClient``) sends what the generator yields and gives the answer back::

    Request -> the response, or the error that came in its place
    Wait    -> None, after so many seconds
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

import httpx

from arsenal_identity.errors import IdentityServiceError, NoAnswerError, UnexpectedAnswerError, problem
from arsenal_identity.retry import PASSING, Retry

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """A request to send; ``body`` is sent as JSON."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Wait:
    """Seconds to wait."""

    seconds: float


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request, and how the JSON of its answer is read."""

    request: Request
    read: Callable[[Any], Result]


Answer: TypeAlias = httpx.Response | httpx.RequestError | None
Steps: TypeAlias = Generator[Request | Wait, Answer, Result]


def exchange(call: Call[Result], retry: Retry) -> Steps[Result]:
    """Send the request until it has a result or its error is final."""
    for attempt in count(1):
        answer = yield call.request
        error = _error(answer)
        if error is None:
            assert isinstance(answer, httpx.Response)
            return _result(call, answer)
        wait_s = retry.wait_s(attempt, error)
        if wait_s is None:
            raise error from (answer if isinstance(answer, httpx.RequestError) else None)
        yield Wait(wait_s)
    raise AssertionError("count() does not end")


def _error(answer: Answer) -> IdentityServiceError | None:
    """Return what keeps an answer from being a success."""
    if not isinstance(answer, httpx.Response):
        return NoAnswerError(f"The identity service does not answer: {str(answer) or type(answer).__name__}")
    if answer.status_code == httpx.codes.OK:
        return None
    try:
        return problem(
            answer.status_code,
            _problem_document(answer),
            retry_after_s=_retry_after_s(answer),
            request_id=answer.headers.get("X-Request-Id"),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return UnexpectedAnswerError(f"The answer with status {answer.status_code} is not one of the identity service.")


def _problem_document(answer: httpx.Response) -> dict[str, Any]:
    """Return the problem document; a proxy's page stands for one where it says that a later request may pass."""
    if answer.headers.get("Content-Type", "").partition(";")[0] == "application/problem+json":
        return dict(answer.json())
    if answer.status_code in PASSING:
        return {"title": answer.reason_phrase}
    raise ValueError("no problem document")


def _retry_after_s(answer: httpx.Response) -> float | None:
    """Return the ``Retry-After`` (RFC 9110 section 10.2.3) in seconds; a date counts from the answer's ``Date``."""
    text = answer.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(answer.headers.get("Date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())


def _result(call: Call[Result], answer: httpx.Response) -> Result:
    try:
        return call.read(answer.json())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnexpectedAnswerError("The answer is not one of the identity service.") from error
