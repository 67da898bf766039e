"""One call of a running service, for the commands of :mod:`arsenal_fast.cli.client`.

It uses urllib: a command that sends one request needs no HTTP client of its own, and the image has none.
"""

import json
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, Final, NamedTuple

from arsenal_fast.cli.arguments import EXIT_FAILURE, EXIT_NO_ANSWER, EXIT_TRY_AGAIN, Failure

TIMEOUT_S: Final = 10.0
MAX_ANSWER: Final = 4 << 20
"""Bytes of an answer that are read; 1,000 verdicts have 0.5 MB."""


class _Unredirected(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: a service token would be sent along, to whatever host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


class Service(NamedTuple):
    """A service and the token for it; empty without one."""

    url: str
    token: str

    def call(self, path: str, body: object = None) -> Any:
        """Return the answer to a GET, or to a POST of the body; raises Failure where it is no success."""
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{self.url}{path}", data, headers)  # noqa: S310 - the scheme was checked
        try:
            with urllib.request.build_opener(_Unredirected).open(request, timeout=TIMEOUT_S) as answer:
                return json.loads(answer.read(MAX_ANSWER))
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Failure(f"{self.url} does not answer: {reason}.", EXIT_NO_ANSWER) from None
        except ValueError:
            raise Failure(f"{self.url}{path} answers no JSON: is that the service?", EXIT_NO_ANSWER) from None


def _refusal(error: urllib.error.HTTPError) -> Failure:
    """Return the problem that the service describes, each of its faults a line."""
    try:
        problem = json.loads(error.read(MAX_ANSWER))
        faults = [f"  {each.get('pointer') or each.get('parameter')}: {each['detail']}" for each in problem["errors"]]
    except KeyError:
        faults = []
    except (ValueError, TypeError, AttributeError):
        problem, faults = {}, []
    sentence = "\n".join([f"{error.code} {error.reason}: {problem.get('detail', 'no reason given')}", *faults])
    return Failure(sentence, EXIT_TRY_AGAIN if error.code in {429, 503} else EXIT_FAILURE)
