"""Answers that are no success become exceptions, and calls are repeated within bounds."""

import httpx
import pytest
from scripted import IDENTITY, Answer, Scripted, ask, ok, problem

from arsenal_identity import (
    NO_RETRY,
    Client,
    Fault,
    ForbiddenError,
    Identity,
    IdentityServiceError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    ProblemError,
    RateLimitedError,
    Retry,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
)

REFUSED = httpx.ConnectError("refused")
ALWAYS = 1.0


def issue(client: Client) -> Identity:
    return client.issue("player", "123456")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, ProblemError),
        (413, InvalidRequestError),
        (415, InvalidRequestError),
        (429, RateLimitedError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
def test_a_problem_is_an_exception_of_its_status(status: int, kind: type[ProblemError]) -> None:
    error = ask(Scripted(problem(status), retry=NO_RETRY), issue)
    assert type(error) is kind
    assert str(error) == f"{status} A problem: It says why."


def test_a_problem_names_its_faults() -> None:
    errors = [{"parameter": "prefix", "detail": "No dash."}, {"pointer": "/a/0", "detail": "A name."}]
    error = ask(Scripted(problem(400, {"X-Request-Id": "r-1"}, errors=errors, type="urn:x")), issue)
    assert isinstance(error, InvalidRequestError)
    assert error.faults == (Fault("No dash.", None, "prefix"), Fault("A name.", "/a/0", None))
    assert "prefix: No dash." in str(error)
    assert (error.request_id, error.kind, error.status) == ("r-1", "urn:x", 400)


def test_a_used_up_limit_names_policies_and_the_wait() -> None:
    answer = problem(429, {"Retry-After": "36"}, **{"violated-policies": ["default"]})
    error = ask(Scripted(answer), issue)
    assert isinstance(error, RateLimitedError)
    assert (error.retry_after_s, error.violated_policies) == (36.0, ("default",))


REPEATED: list[tuple[str, list[Answer], list[float]]] = [
    ("a wait of the service is kept", [problem(429, {"Retry-After": "3"}), ok(IDENTITY)], [3.0]),
    ("a service that was away", [problem(503, {"Retry-After": "1"}), ok(IDENTITY)], [1.0]),
    ("a wait of nought", [problem(503, {"Retry-After": "0"}), ok(IDENTITY)], [0.0]),
    ("waits double", [REFUSED, problem(503), ok(IDENTITY)], [0.2, 0.4]),
    ("a time-out", [httpx.ReadTimeout("late"), ok(IDENTITY)], [0.2]),
    ("a proxy without its service", [httpx.Response(502, text="<html>"), ok(IDENTITY)], [0.2]),
    ("a proxy's limit", [httpx.Response(429, headers={"Retry-After": "2"}), ok(IDENTITY)], [2.0]),
    (
        "a date counts from the answer's own",
        [
            problem(503, {"Date": "Sun, 22 Nov 2026 10:00:00 GMT", "Retry-After": "Sun, 22 Nov 2026 10:00:07 GMT"}),
            ok(IDENTITY),
        ],
        [7.0],
    ),
    ("a date without a Date", [problem(503, {"Retry-After": "Sun, 22 Nov 2026 10:00:07 GMT"}), ok(IDENTITY)], [0.2]),
    ("nonsense", [problem(503, {"Retry-After": "soon"}), ok(IDENTITY)], [0.2]),
]


@pytest.mark.parametrize(("answers", "waits"), [row[1:] for row in REPEATED], ids=[row[0] for row in REPEATED])
def test_what_passes_by_itself_is_repeated(answers: list[Answer], waits: list[float]) -> None:
    scripted = Scripted(*answers)
    assert issue(scripted.client).id == IDENTITY["id"]
    assert scripted.waits == waits
    assert len({(request.method, str(request.url)) for request in scripted.requests}) == 1


FINAL: list[tuple[str, list[Answer], type[IdentityServiceError], int]] = [
    ("the bound of attempts", [REFUSED] * 3, NoAnswerError, 3),
    ("a wait over the bound", [problem(429, {"Retry-After": "11"})], RateLimitedError, 1),
    ("a bad request", [problem(400)], InvalidRequestError, 1),
    ("a bad token", [problem(401)], UnauthorizedError, 1),
    ("a fault of the service", [problem(500)], UnavailableError, 1),
    ("another server", [httpx.Response(404, text="nginx")], UnexpectedAnswerError, 1),
    ("a redirection", [httpx.Response(301, headers={"Location": "https://x/"})], UnexpectedAnswerError, 1),
    ("a page", [httpx.Response(200, text="<html>")], UnexpectedAnswerError, 1),
    ("JSON of another kind", [ok([])], UnexpectedAnswerError, 1),
    ("a member too few", [ok({k: v for k, v in IDENTITY.items() if k != "token"})], UnexpectedAnswerError, 1),
    ("a member of another type", [ok({**IDENTITY, "ttl": "3600"})], UnexpectedAnswerError, 1),
    ("a moment that is none", [ok({**IDENTITY, "expires": "soon"})], UnexpectedAnswerError, 1),
    ("a strange problem", [problem(400, errors=[1])], UnexpectedAnswerError, 1),
    ("a problem cut off", [httpx.Response(400, text="{", headers=problem(400).headers)], UnexpectedAnswerError, 1),
]


@pytest.mark.parametrize(("answers", "kind", "sent"), [row[1:] for row in FINAL], ids=[row[0] for row in FINAL])
def test_what_does_not_pass_fails(answers: list[Answer], kind: type[IdentityServiceError], sent: int) -> None:
    scripted = Scripted(*answers)
    assert type(ask(scripted, issue)) is kind
    assert len(scripted.requests) == sent
    assert len(scripted.waits) == sent - 1


def test_an_answer_that_cannot_be_decoded_is_no_answer() -> None:
    coded = httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))
    error = ask(Scripted(coded, retry=NO_RETRY), issue)
    assert isinstance(error, NoAnswerError)


def test_an_error_without_words_is_named_by_its_kind() -> None:
    error = ask(Scripted(httpx.ReadTimeout(""), retry=NO_RETRY), issue)
    assert str(error).endswith(": ReadTimeout")


def test_no_answer_has_the_networks_error_as_its_cause() -> None:
    error = ask(Scripted(REFUSED, retry=NO_RETRY), issue)
    assert isinstance(error, NoAnswerError)
    assert error.__cause__ is REFUSED


@pytest.mark.parametrize(
    ("chance", "attempt", "wait_s"), [(0.0, 1, 0.0), (0.5, 1, 0.1), (ALWAYS, 4, 1.6), (ALWAYS, 9, 10.0)]
)
def test_waits_are_spread_and_bounded(chance: float, attempt: int, wait_s: float) -> None:
    retry = Retry(attempts=10, chance=lambda: chance)
    assert retry.wait_s(attempt, NoAnswerError("refused")) == pytest.approx(wait_s)
