"""The response cache: rendered responses to requests that repeat an earlier one byte for byte.

The keys are request lines, and the bodies of validations and batches. All other requests go to the handler. A test
holds that both give the same responses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from operator import attrgetter
from typing import Final, Protocol, cast

from arsenal_fast.api.clock import ResponseClock
from arsenal_fast.api.fastpath.cached_batch import CachedBatch
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.api.fastpath.render import (
    CachedVerdict,
    RenderedIdentity,
    Sign,
    pieces_of,
    rendered,
    response_of,
    verdict_of,
)
from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.cache import GenerationalCache
from arsenal_fast.http.request import Request
from arsenal_fast.http.template import TemplateMatch
from arsenal_fast.identity import grammar
from arsenal_fast.identity.runs import DRAWN
from arsenal_fast.identity.validity import DEFAULT_TTL, LOOK_UP, Fetched, Life, Terms
from arsenal_fast.memory_budget import Shares, weigh_reference
from arsenal_fast.observability.metrics import Metrics
from arsenal_fast.ratelimit.policies import ISSUE, VALIDATE
from arsenal_fast.registry.cache import CachedIdentity, IdentityCache
from arsenal_fast.registry.verdict import Status

ISSUE_PATH: Final = "/api/v1/id"
VALIDATE_PATH: Final = "/api/v1/validate"
BATCH_PATH: Final = "/api/v1/identities"

DEFAULT_VERSION: Final = "v1"
"""The version of identities that are requested without one."""

MAX_TARGET: Final = 1024
"""Bytes of a request target that is a key. An identity has 325 at most; longer targets have needless escapes or
unknown parameters, and may have 8 KiB, 131,072 times."""

MAX_BODY: Final = 512
"""Bytes of a validation's body that is a key: an identity has 325 at most, and the JSON around it 16."""

MAX_BATCH_BODY: Final = 2048
"""Bytes of a batch's body that is a key: some thirty rows."""

MAX_NAME: Final = 128
"""Characters of an environment's name, which is only echoed."""

MAX_SEEN: Final = 16_384
"""Hashes of batch bodies that were seen once; a full set is emptied. 2 MB."""

BATCHES: Final = 8
"""Cached identities per cached batch: a batch with its pieces takes as much memory as four identities."""

_QUERY: Final = rf"prefix=({grammar.PREFIX})&run=(?!{DRAWN})({grammar.RUN})"
"""The form of nearly all queries: valid without decoding, unless prefix and run are too long together.

A run that begins with the form of a drawn one does not match: the handler refuses it, or issues it if it is longer.
"""
_MAX_QUERY: Final = len("prefix=&run=") + grammar.MAX_LOCAL - len("-")
_LINE: Final = rf"GET {ISSUE_PATH}\?{_QUERY} HTTP/1\.1"
_MAX_LINE: Final = len(f"GET {ISSUE_PATH}? HTTP/1.1") + _MAX_QUERY

_ROW: Final = (
    rf'\{{"name": ?"([ !#-\[\]-~]{{1,{MAX_NAME}}}+)", ?"prefix": ?"({grammar.PREFIX})"'
    rf', ?"run": ?"(?!{DRAWN})({grammar.RUN})"\}}'
)
"""The form of nearly all rows of a batch, likewise; the name needs no escaping."""
_BATCH_STARTS: Final = frozenset(('{"environments":[', '{"environments": ['))
_BETWEEN_ROWS: Final = frozenset((",", ", "))

_VERDICT_BODY: Final = rb'\{"identity": ?"([!#-\[\]-~]++)"\}'
"""The form of nearly all bodies of a validation; what the string says is left to the grammar."""

_KEPT_ROW: Final = attrgetter("kept_row")
_REQUIRED_SCOPE: Final = attrgetter("required_scope")

_query: Final = re.compile(_QUERY).fullmatch
_line: Final = re.compile(_LINE).fullmatch
_split_rows: Final = re.compile(_ROW).split
_verdict_body: Final = re.compile(_VERDICT_BODY).fullmatch


def _weigh(key: bytes, identity: RenderedIdentity | UnusualLine | MissingIdentity) -> int:
    return weigh_reference(key, len(identity.id))


def _weigh_size(key: bytes, response: CachedBatch) -> int:
    return weigh_reference(key, response.size_bytes)


def _weigh_verdict(key: bytes, verdict: CachedVerdict | UnknownVerdict) -> int:
    assert isinstance(verdict, CachedVerdict), "an unknown one is not kept"
    return weigh_reference(key, verdict.size_bytes)


class CachedResponse(Protocol):
    """A response without its head, rate-limit lines and perhaps a time stamp."""

    @property
    def endpoint(self) -> Endpoint: ...

    @property
    def required_scope(self) -> str | None:
        """The scope that the caller's token needs; None: none."""

    @property
    def ids(self) -> Sequence[str]:
        """The identities that it issues."""

    @property
    def terms(self) -> Terms | None:
        """How the store is to fetch the identity that is missing; None: none is."""

    def render(self, clock: ResponseClock) -> bytes | None:
        """Return the response from its own header lines on; None: it is stale, and the handler responds."""


class UnusualLine:
    """The cached response to a request line that only the handler can read, as there is a TTL in it."""

    __slots__ = ("_identity", "endpoint", "id", "ids", "render", "required_scope")

    terms: Final = None

    def __init__(self, identity: RenderedIdentity) -> None:
        self.id = identity.id
        self.ids = identity.ids
        self.endpoint = identity.endpoint
        self.required_scope = identity.required_scope
        self.render = identity.render


class MissingIdentity:
    """The id in one request's line of the usual form whose identity is not cached and has to be issued."""

    __slots__ = ("_sign", "endpoint", "fetched", "id", "invalidations", "terms")

    required_scope: Final = None
    fetched: Life | Fetched | None
    invalidations: int

    def __init__(self, identity: str, terms: Terms, endpoint: Endpoint, sign: Sign) -> None:
        self.id = identity
        self.terms = terms
        self.endpoint = endpoint
        self.fetched = None
        self.invalidations = 0
        self._sign = sign

    @property
    def ids(self) -> Sequence[str]:
        """The identity that it issues."""
        return (self.id,)

    def render(self, _clock: ResponseClock) -> bytes | None:
        """Return the response with the life that the store has given; None: there is none yet."""
        life = self.fetched
        if not isinstance(life, Life):
            return None
        self.endpoint.fetched += 1
        return response_of(self.id, life, self._sign)


class UnknownVerdict:
    """The id in one request's body of the usual form that this worker does not know, and has to look up."""

    __slots__ = ("endpoint", "fetched", "id", "invalidations")

    required_scope: Final = None
    ids: Final = ()
    terms: Final = LOOK_UP
    fetched: Life | Fetched | None
    invalidations: int

    def __init__(self, identity: str, endpoint: Endpoint) -> None:
        self.id = identity
        self.endpoint = endpoint
        self.fetched = None
        self.invalidations = 0

    def render(self, clock: ResponseClock) -> bytes | None:
        """Return the verdict on the living life that the store has given; None: there is none yet."""
        life = self.fetched
        if not isinstance(life, Life):
            return None
        self.endpoint.fetched += 1
        return verdict_of(self.id, Status.ACTIVE, life, cached=True) + clock.stamp()


FETCHED: Final = (MissingIdentity, UnknownVerdict)
"""The classes of responses that the store has to fetch something for. (A union would be made anew at each use.)"""
KEPT: Final = (RenderedIdentity, CachedVerdict)
"""The classes of responses that may turn into those, as their identity may be dropped."""


class ResponseCache:
    """The cached responses of one worker."""

    def __init__(
        self,
        *,
        capacity: int,
        shares: Shares,
        domain: str,
        protected: Container[str],
        identities: IdentityCache,
        issue: Endpoint,
        sign: Sign,
    ) -> None:
        """
        Args:
            capacity: entries of a generation, for request lines and for validations, at most.
            shares: bytes of a generation.
            domain: of identities requested without one.
            protected: prefixes, in lower case, that only the handler may issue.
            issue: the endpoint of the entries of ``identities``.
            sign: makes the tokens of new lives.
        """
        self._identities = identities
        self._protected = protected
        self._domain = domain
        self._suffix = f"@{domain}/{DEFAULT_VERSION}:id"
        self._issue = issue
        self.sign: Final = sign
        issue.terms = identities.usual_terms
        self._validate = Endpoint("POST", VALIDATE_PATH, VALIDATE)
        self._batch = Endpoint("POST", BATCH_PATH, ISSUE)
        self._endpoints = (self._issue, self._validate, self._batch)
        self.by_line: GenerationalCache[bytes, RenderedIdentity | UnusualLine | MissingIdentity] = GenerationalCache(
            capacity, weigh=_weigh, room=shares.lines, find=self._from_identities
        )
        """Responses by request line; without a response the handler responds."""
        self._verdicts: GenerationalCache[bytes, CachedVerdict | UnknownVerdict] = GenerationalCache(
            capacity, weigh=_weigh_verdict, room=shares.verdicts, find=self._find_verdict
        )
        self._batches: GenerationalCache[bytes, CachedBatch] = GenerationalCache(
            -(-capacity // BATCHES), weigh=_weigh_size, room=shares.batches, find=self._find_batch
        )
        self.by_body: dict[
            bytes, GenerationalCache[bytes, CachedVerdict | UnknownVerdict] | GenerationalCache[bytes, CachedBatch]
        ]
        """Responses by request line, and then by body, likewise."""
        self.by_body = {self._validate.line: self._verdicts, self._batch.line: self._batches}
        self._seen: set[int] = set()
        """Hashes of batch bodies that were seen once and may be cached."""

    def usual_id(self, query: bytes) -> str | None:
        """Return the valid id in a query of the usual form; None for any other query."""
        if len(query) > _MAX_QUERY:
            return None
        found = _query(query.decode("latin-1"))
        return None if found is None else "-".join(found.groups()) + self._suffix

    def usual_batch(self, body: bytes) -> tuple[list[str], list[str]] | None:
        """Return the names and the valid ids in the body of a batch of the usual form; None for any other body."""
        if not body.isascii() or body.count(b"{") > MAX_ROWS + 1:
            return None
        parts = _split_rows(body.decode("ascii"))  # what is before the first row; of each row its groups, what follows
        if parts[0] not in _BATCH_STARTS or parts[-1] != "]}" or not _BETWEEN_ROWS.issuperset(parts[4:-1:4]):
            return None
        suffix = self._suffix
        ids = [f"{prefix}-{run}{suffix}" for prefix, run in zip(parts[2::4], parts[3::4], strict=True)]
        if max(map(len, ids)) > grammar.MAX_LOCAL + len(suffix):
            return None
        return parts[1::4], ids

    def put_identity(self, request: Request, identity: RenderedIdentity) -> None:
        """Cache the response to this request line."""
        if request.method == b"GET" and request.minor == 1 and len(request.target) <= MAX_TARGET:
            line = b"GET %b HTTP/1.1" % request.target
            self.by_line.put(line, UnusualLine(identity) if self._usual_line(line) is None else identity)

    def put_verdict(self, request: Request, identity: CachedIdentity) -> CachedVerdict:
        """Render the verdict on a living identity, and cache it for this body."""
        return self._put_verdict(request.body, identity)

    def put_batch(self, request: Request, identities: Sequence[CachedIdentity], pieces: Sequence[bytes]) -> None:
        """Cache the response to this body at its second request: most come once."""
        if len(request.body) <= MAX_BATCH_BODY:
            self._keep(request.body, CachedBatch(identities, pieces, self._batch))

    def count(self, metrics: Metrics, seconds: float) -> None:
        """Count the responses since the last call, each with this duration."""
        for endpoint in self._endpoints:
            endpoint.flush(metrics, seconds)

    def count_late(self, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        """Count the responses that were waited for since the last call."""
        for endpoint in self._endpoints:
            if endpoint.late:
                endpoint.flush_late(metrics, monotonic())

    def _put_verdict(self, body: bytes, identity: CachedIdentity) -> CachedVerdict:
        verdict = CachedVerdict(cast(RenderedIdentity, identity), self._validate)
        if len(body) <= MAX_BODY:
            self._verdicts.put(body, verdict)
        return verdict

    def _keep(self, body: bytes, batch: CachedBatch) -> None:
        if hash(body) in self._seen:
            self._batches.put(body, batch)
            return
        if len(self._seen) >= MAX_SEEN:
            self._seen.clear()
        self._seen.add(hash(body))

    def _find_batch(self, body: bytes) -> CachedBatch | None:
        """Return the response to a batch of the usual form whose rows are all kept."""
        usual = self.usual_batch(body) if len(body) <= MAX_BATCH_BODY else None
        if usual is None:
            return None
        names, ids = usual
        entries = self._identities.get_all(ids)
        if None in entries:
            return None
        identities = rendered(entries)
        rows = list(map(_KEPT_ROW, identities))
        if not all(rows) or (self._protected and any(map(_REQUIRED_SCOPE, identities))):
            return None
        pieces = pieces_of(names, rows, self._domain, DEFAULT_VERSION, DEFAULT_TTL)
        batch = CachedBatch(identities, pieces, self._batch)
        self._keep(body, batch)
        return batch

    def _find_verdict(self, body: bytes) -> CachedVerdict | UnknownVerdict | None:
        found = _verdict_body(body) if len(body) <= MAX_BODY else None
        if found is None:
            return None
        text = found[1].decode("ascii")
        entry = self._identities.living(text)
        if entry is not None:
            return self._put_verdict(body, entry)
        return UnknownVerdict(text, self._validate) if grammar.is_id(text) else None

    def find_again(self, match: TemplateMatch, stale: RenderedIdentity | CachedVerdict, now_s: float) -> CachedResponse:
        """Find the response of a usual request whose kept one is stale, or what is to be fetched for it."""
        line, _, _, body, _ = match
        if isinstance(stale, CachedVerdict):
            self._verdicts.discard(body)
            entry = self._identities.living(stale.id)
            return UnknownVerdict(stale.id, self._validate) if entry is None else self._put_verdict(body, entry)
        self.by_line.discard(line)
        entry = self._identities.get(stale.id)
        if entry is not None and entry.fresh_until_s > now_s:
            assert isinstance(entry, RenderedIdentity)
            self.by_line.put(line, entry)
            return entry
        return self._missing(stale.id)

    def _missing(self, identity: str) -> MissingIdentity:
        return MissingIdentity(identity, self._identities.terms(identity), self._issue, self.sign)

    def _usual_line(self, line: bytes) -> str | None:
        """Return the id in a request line of the usual form; None for any other line."""
        if len(line) > _MAX_LINE:
            return None
        found = _line(line.decode("latin-1"))
        if found is None or (self._protected and found[1].lower() in self._protected):
            return None
        return "-".join(found.groups()) + self._suffix

    def _from_identities(self, line: bytes) -> RenderedIdentity | MissingIdentity | None:
        identity = self._usual_line(line)
        if identity is None:
            return None
        entry = self._identities.get(identity)
        if entry is None:
            return self._missing(identity)
        assert isinstance(entry, RenderedIdentity)
        if entry.handed_out:
            self.by_line.put(line, entry)
        return entry
