"""The application behind the server: routes requests from connections to their handlers.

It reads no clock, no socket and no environment; :mod:`arsenal_fast.api.compose` passes clocks and stores in.
"""

from __future__ import annotations

from copy import copy
from http import HTTPStatus

from arsenal_fast.api import auth
from arsenal_fast.api.callers import Callers
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.fastpath.recognizer import FastPath, Recognizer
from arsenal_fast.api.json_body import may_be_json
from arsenal_fast.api.problems import MALFORMED, render
from arsenal_fast.api.request_id import id_of, line_of
from arsenal_fast.api.router import API, Route, Router
from arsenal_fast.api.services import Services, decoded
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.request import Fields, Request
from arsenal_fast.ratelimit.client import Client
from arsenal_fast.ratelimit.headers import retry_after_line


class App:
    """The application of one worker."""

    def __init__(self, services: Services, router: Router, callers: Callers, *, queries_store: bool) -> None:
        """``queries_store``: before a response the store is queried for the limit or the revision."""
        self.services = services
        self.router = router
        self._callers = callers
        self._fast_path: FastPath | None = None
        admission = services.admission
        self.submit = admission.submit if queries_store else admission.pass_unlimited
        """Submits a request with a client to the admission, and what it needs of the store."""

    def use(self, fast_path: FastPath) -> None:
        """Use the fast path for repeated requests from now on."""
        self._fast_path = fast_path

    def beside(self, router: Router) -> App:
        """Return an application of the same services and callers with other routes, without the fast path."""
        other = copy(self)
        other.router, other._fast_path = router, None
        return other

    def address_client(self, peer: str, forwarded_for: bytes | None) -> Client:
        """Return the client of the address that a request is charged to."""
        return self._callers.of_address(peer, forwarded_for)

    def recognizer(self, context: RequestContext, peer: str) -> Recognizer | None:
        """Return the recognizer of a connection's further requests like this one; None: they are parsed."""
        if self._fast_path is None or not self._may_repeat(context):
            return None
        return self._fast_path.recognizer(context, peer)

    @property
    def recognizes(self) -> bool:
        """Whether there is a fast path."""
        return self._fast_path is not None

    def begin(self, context: RequestContext) -> None:
        """Begin a request; its connection gets the response, now or later."""
        request = context.request
        fields = request.fields
        services = self.services
        if not context.header_lines:  # the request begins again where its token has expired meanwhile
            id_line = line_of(fields.request_id) or next(services.id_lines)
            context.header_lines = services.cors.reflected(fields.origin) + id_line
        if fields.authorization is not None or fields.subject is not None:
            self._identify(context, fields)
        try:
            context.route = route = self.route_of(request)
        except ValueError as error:
            context.refuse(ProblemError(400, f"The path can't be read: {error}.", kind=MALFORMED))
            return
        if context.refusal is not None and not self._reads_tokens(route, request.path):
            context.refusal = None
        if route.limited or context.refusal is not None:
            if services.limits is not None:
                context.client = services.limits.of_request(context.client, route, request)
            self.submit(context)
        elif context.client.token and route.scope is not None and self._reads_tokens(route, request.path):
            # Not charged; but the token may have been withdrawn a moment ago, on another replica.
            self.services.admission.look(context, context.guard(lambda *_: context.handle()))
        else:
            context.handle()

    def _reads_tokens(self, route: Route, path: bytes) -> bool:
        """Whether the route checks tokens; probes and pages ignore them."""
        if self.services.settings.metrics_by_token and route.scope == auth.METRICS:
            return True
        return decoded(path).startswith(API)

    def route_of(self, request: Request) -> Route:
        """Return the route of a request; raises ValueError where its path can't be read."""
        return self.router.match(request.method, decoded(request.path))

    def malformed(self, status: int, detail: str, origin: bytes | None = None) -> bytes:
        """Return the whole response to data that is no request, or an incomplete one; the connection closes after it.

        ``origin``: the Origin field, where one is known.
        """
        lines = retry_after_line(1) if status == HTTPStatus.SERVICE_UNAVAILABLE else b""
        kind = MALFORMED if status == HTTPStatus.BAD_REQUEST else ""
        problem = ProblemError(status, detail, lines=lines, kind=kind)
        return self._closing("(malformed)", problem, self.services.cors.reflected(origin))

    def overloaded(self) -> bytes:
        """Return the whole response to a connection above the limit."""
        detail = "This worker serves as many connections as it can; try again in a second."
        return self._closing("(shed)", ProblemError(503, detail, lines=retry_after_line(1)), b"")

    def _closing(self, route: str, problem: ProblemError, lines: bytes) -> bytes:
        services = self.services
        services.clock.refresh()
        services.metrics.observe(route, "OTHER", problem.status, 0.0)
        id_line = next(services.id_lines)
        tail = render(problem, services.problem_types, id_of(id_line))
        return services.clock.head(problem.status) + lines + id_line + b"Connection: close\r\n" + tail

    def _may_repeat(self, context: RequestContext) -> bool:
        """Whether requests like this one may be recognised: they don't close, and have no body but JSON."""
        return context.refusal is None and not self.services.draining and may_be_json(context.request.fields)

    def _identify(self, context: RequestContext, fields: Fields) -> None:
        """Charge the request to the client that it names, or keep the reason why that is refused."""
        client, context.refusal = self._callers.of_fields(fields)
        if client is not None:
            context.client = client
        if context.refusal is not None:
            context.connection.leave_fast_path()
