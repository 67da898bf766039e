"""Recognises requests of a connection that repeat an earlier one.

A keep-alive client repeats its field block byte for byte, a proxy all but a few values. So a message that matches the
template of an earlier request needs no parsing, and one whose line or body is a key of the response cache needs no
handler: a match, a look-up, the admission. On a miss the request is built from the match and runs its handler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Final

from arsenal_fast.api.callers import Callers
from arsenal_fast.api.context import Application, RequestContext
from arsenal_fast.api.fastpath.recognized import FastPathServices, RecognizedRequest
from arsenal_fast.api.fastpath.response_cache import FETCHED, KEPT, CachedResponse
from arsenal_fast.api.limits import RequestLimits
from arsenal_fast.api.request_id import END, START, further
from arsenal_fast.http.template import RequestTemplate, RequestTemplates, TemplateMatch
from arsenal_fast.identity.validity import Fetching
from arsenal_fast.ratelimit.client import OnBehalf

SMALL_BLOCK: Final = 512
"""Bytes of a field block of its own, up to which a recognizer is kept beside another one."""


class FastPath:
    """The parts of the fast path that all connections of a worker share."""

    def __init__(
        self,
        *,
        app: Application,
        templates: RequestTemplates,
        callers: Callers,
        work: FastPathServices,
        request_class: type[RecognizedRequest],
        reflected: Callable[[bytes | None], bytes],
        limits: RequestLimits | None,
    ) -> None:
        """
        Args:
            limits: what requests are charged to where there is a limits file.
            request_class: the class of recognised requests.
            reflected: returns the header lines for an Origin.
        """
        self.app = app
        self.templates = templates
        self.callers = callers
        self.work = work
        self.request_class = request_class
        self.reflected = reflected
        self.limits = limits

    def recognizer(self, context: RequestContext, peer: str) -> Recognizer | None:
        """Return a recognizer for requests like this one of a peer; None while there is no template."""
        if context.request.fields.subject is not None and not isinstance(context.client.caller, OnBehalf):
            return None  # it was ignored here, and is refused elsewhere
        template = self.templates.of(context.request)
        if template is None:
            return None
        repeats = template.end and self.limits is None
        return (RepeatRecognizer if repeats else Recognizer)(self, template, context, peer)


class Recognizer:
    """Recognises the next requests of one connection."""

    __slots__ = (
        "_by_body",
        "_by_line",
        "_client",
        "_fast_path",
        "_forwarded",
        "_holder",
        "_id_ends",
        "_limits",
        "_match",
        "_outbox",
        "_peer",
        "_reflected",
        "_request",
        "_template",
    )

    def __init__(self, fast_path: FastPath, template: RequestTemplate, context: RequestContext, peer: str) -> None:
        fields = context.request.fields
        self._fast_path = fast_path
        self._template = template
        self._match = template.match
        self._by_line = None if template.has_body else fast_path.work.cache.by_line
        self._by_body = fast_path.work.cache.by_body
        self._client = caller = context.client.caller
        self._limits = fast_path.limits
        self._peer = peer
        self._reflected = fast_path.reflected(fields.origin)
        self._id_ends: Iterator[bytes] = repeat(END)
        # Behind a trusted peer each request is charged to its own client.
        names_client = fields.forwarded_for is not None and not context.client.token
        self._forwarded = (
            fast_path.callers.by_forwarded_for if names_client and fast_path.callers.trusts(peer) else None
        )
        # On behalf of many end users each request is charged to its own one, too.
        self._holder = caller.holder if isinstance(caller, OnBehalf) else None
        self._request = fast_path.request_class(fast_path.work, fast_path.app, context.connection, template)
        if fields.request_id is None:
            self._continue_id(context.header_lines)
        self._request.client = caller
        self._outbox = self._request.outbox

    @property
    def is_small(self) -> bool:
        """Whether it may be kept for later: a connection holds one long field block at most."""
        return len(self._template.end) <= SMALL_BLOCK

    def recognize(self, data: bytes) -> bool:
        """Take ``data`` if it is a request like the last one; False: it has to be parsed.

        No response of the connection may be due: one object serves all recognised requests in turn.
        """
        match = self._match(data)
        if match is None:
            return False
        line, named, request_id, body, _ = match
        by_line = self._by_line
        cached: CachedResponse | None
        if by_line is not None:
            cached = by_line.get(line)
        else:
            by_body = self._by_body.get(line)
            cached = None if by_body is None else by_body.get(body)
        if cached is None:
            return self._miss(match)
        request = self._request
        if self._forwarded is not None:
            request.client = self._forwarded.get(named) or self._fast_path.callers.of_peer(self._peer)
        elif self._holder is not None:
            callers, holder = self._fast_path.callers, self._holder
            request.client = callers.by_subject.get((holder, named)) or callers.of_subject(holder, named)
        if self._limits is not None:
            request.client = self._limits.of_cached(request.client.caller, cached)
        if cached.required_scope is not None and cached.required_scope not in request.client.scopes:
            return self._miss(match)
        request.cached = cached
        request.match = match
        if request_id:  # all requests of a template have one, or none has; what matches is echoed
            request.header_lines = self._reflected + START + request_id
        try:
            request.id_end = next(self._id_ends)
        except StopIteration:
            request.id_end = self._renew_id()
        self._outbox.append(request)
        request.submit(request, None if cached.terms is None else self._wanted(match, cached))
        return True

    def _wanted(self, match: TemplateMatch, cached: CachedResponse) -> Fetching | None:
        """Return what a request without a response needs of the store; None: this worker has it after all."""
        if isinstance(cached, FETCHED):
            return cached
        assert isinstance(cached, KEPT)
        work = self._fast_path.work  # its identity was forgotten, and its line or body was not
        self._request.cached = again = work.cache.find_again(match, cached, work.clock.now_s)
        return again if isinstance(again, FETCHED) else None

    def _continue_id(self, lines: bytes) -> None:
        """Make further ids of the one at the end of these header lines."""
        self._request.header_lines, self._id_ends = further(lines)

    def _renew_id(self) -> bytes:
        """Begin with a new id, as the ends of the old one are used up; return the first end."""
        self._continue_id(self._reflected + next(self._fast_path.work.id_lines))
        return next(self._id_ends)

    def _miss(self, match: TemplateMatch) -> bool:
        """Give the connection a request without a cached response; False: the parser has to check its line."""
        request = self._template.request(match)
        if request is None:
            return False
        client = self._client
        fast_path = self._fast_path
        if self._forwarded is not None or client.token:
            # A token is read again, and the request charged to the address where it is refused.
            client = fast_path.callers.of_address(self._peer, request.fields.forwarded_for)
        connection = self._request.connection
        connection.take(RequestContext(fast_path.app, connection, request, client, fast_path.work.monotonic()))
        return True


class RepeatRecognizer(Recognizer):
    """Recognises requests whose bytes after the request line never change: all are charged to one client.

    Most clients send such ones, so this does what :meth:`Recognizer.recognize` does in half its steps.
    """

    __slots__ = ("_end", "_line", "_lines")

    def __init__(self, fast_path: FastPath, template: RequestTemplate, context: RequestContext, peer: str) -> None:
        super().__init__(fast_path, template, context, peer)
        self._end = template.end
        self._line = slice(-len(template.end))
        self._lines = fast_path.work.cache.by_line

    def recognize(self, data: bytes) -> bool:
        if not data.endswith(self._end):
            return False
        line = data[self._line]
        cached = self._lines.get(line)
        request = self._request
        match = (line, b"", b"", b"", None)
        if cached is None or (cached.required_scope is not None and cached.required_scope not in request.client.scopes):
            return self._miss(match)
        request.cached = cached
        request.match = match
        try:
            request.id_end = next(self._id_ends)
        except StopIteration:
            request.id_end = self._renew_id()
        self._outbox.append(request)
        request.submit(request, None if cached.terms is None else self._wanted(match, cached))
        return True
