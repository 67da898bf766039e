"""The client that waits for each answer."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

import httpx

from arsenal_identity import calls
from arsenal_identity.exchange import Answer, Call, Request, Steps, Wait, exchange
from arsenal_identity.models import (
    Batch,
    Environment,
    Identity,
    Limits,
    RevokedBefore,
    RevokedIdentity,
    TokenClaims,
    Verdict,
)
from arsenal_identity.offline import TokenChecker
from arsenal_identity.retry import DEFAULT_RETRY, Retry
from arsenal_identity.settings import http_settings

Result = TypeVar("Result")


class Client:
    """Calls of one identity service, over kept connections: close it, or use it in a ``with``.

    Args:
        base_url: where the service answers, such as ``https://identity.api.yourbook.com``.
        token: a service token: a limit of its own in place of the address's, and rights.
        timeout_s: seconds for each of connecting, sending and receiving.
        retry: when a call is repeated; ``NO_RETRY`` sends each request once.
        issuer: the service's ``API_BASE_URL``, where it differs from ``base_url``; for ``check_token``.
        leeway_s: seconds by which the clocks may differ; for ``check_token``.
        transport: httpx's, to replace the network in tests.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        timeout_s: float = 5.0,
        retry: Retry = DEFAULT_RETRY,
        issuer: str | None = None,
        leeway_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(transport=transport, **http_settings(base_url, token, timeout_s))
        self._retry = retry
        self._sleep = sleep
        self._checker = TokenChecker(issuer or base_url.rstrip("/"), leeway_s, retry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def issue(
        self,
        prefix: str | None = None,
        run: str | None = None,
        *,
        domain: str | None = None,
        version: str | None = None,
        ttl_s: int | None = None,
    ) -> Identity:
        """Return the identity of prefix and run: the same to everybody who names them, while it lives.

        Without ``run`` a new one is drawn that nobody can guess; only this answer has its token. An identity that
        lives keeps its TTL.
        """
        return self._call(calls.issue(prefix, run, domain, version, ttl_s))

    def batch(
        self,
        environments: Iterable[Environment],
        *,
        domain: str | None = None,
        version: str | None = None,
        ttl_s: int | None = None,
    ) -> Batch:
        """Return up to 1,000 identities, all or nothing; one request for the rate limit."""
        return self._call(calls.batch(environments, domain, version, ttl_s))

    def validate(self, identity: str | None = None, *, token: str | None = None) -> Verdict:
        """Return the verdict on an identity, its token, or both; a bad one is a verdict, not an error."""
        return self._call(calls.validate(identity, token))

    def validate_many(self, identities: Iterable[str]) -> list[Verdict]:
        """Return up to 1,000 verdicts in the order of the identities; one request for the rate limit."""
        return self._call(calls.validate_many(identities))

    def revoke(self, identity: str, *, token: str | None = None) -> RevokedIdentity:
        """End an identity, by its own token or by a service token of scope ``revoke``."""
        return self._call(calls.revoke(identity, token))

    def revoke_before(self, issued_before: datetime, *, prefix: str | None = None) -> RevokedBefore:
        """End all that was issued before the moment, of one prefix or all; needs the scope ``revoke``."""
        return self._call(calls.revoke_before(issued_before, prefix))

    def limits(self) -> Limits:
        """Return the caller's rate limit; costs nothing."""
        return self._call(calls.limits())

    def check_token(self, token: str) -> TokenClaims:
        """Return what an identity token says, checked here by the service's public keys, or raise TokenError.

        Fetches the keys at most once a minute, usually once an hour. A revocation does not show in a token. Needs the
        extra ``jwks``, and a service that signs with ``JWT_PRIVATE_KEY``.
        """
        return self._drive(self._checker.check(token))

    def _call(self, call: Call[Result]) -> Result:
        return self._drive(exchange(call, self._retry))

    def _drive(self, steps: Steps[Result]) -> Result:
        """Do what the steps say until they have a result."""
        answer: Answer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            answer = self._do(step)

    def _do(self, step: Request | Wait) -> Answer:
        if isinstance(step, Wait):
            self._sleep(step.seconds)
            return None
        try:
            return self._http.request(step.method, step.path, params=step.query, json=step.body)
        except httpx.RequestError as error:
            return error
