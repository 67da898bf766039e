"""Responses of identities, rendered by hand.

That they are the JSON that ``orjson`` would write is held by a test. It can be done by hand because the grammar lets no
character into an identity that JSON would escape.

What is rendered of an entry is kept from the second time on, and the first request of the fast path makes no entry:
most identities are issued and never requested again from this worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from typing import Final, cast

from arsenal_fast.api.clock import STAMP_BYTES, ResponseClock
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.http.response import JSON
from arsenal_fast.identity.validity import Life, Terms, timestamp
from arsenal_fast.registry.cache import NO_LIFE, CachedIdentity
from arsenal_fast.registry.verdict import REASONS, Status

KIND: Final = "disposable-identity"
FORMAT: Final = "rfc5322-compliant"

RESPONSE_LINES: Final = f"Cache-Control: no-store\r\nContent-Type: {JSON.decode()}\r\nContent-Length: "
_BETWEEN_NAMES: Final = '",\0},{"environment":"'
"""The text around a row of a batch, which is in the place of the NUL: no JSON has one."""
_PURPOSE: Final = f'"type":"{KIND}","compatible":["nexus","artifactory","jfrog"]}}}}'
_JSON: Final = {False: "false", True: "true"}
_SAID: Final[dict[Status, str]] = {
    status: f'"valid":{_JSON[status is Status.ACTIVE]},"status":"{status}","reason":"{reason}",'
    '"well_formed":true,"rfc5322_compliant":true'
    for status, reason in REASONS.items()
    if status is not Status.MALFORMED
}
"""The members that the status alone decides."""
_NO_STAMPS: Final = '"generated":null,"expires":null'

Sign = Callable[[str, Life], str]
"""Makes the identity token of a life."""


class RenderedIdentity(CachedIdentity):
    """A cached identity with its rendered responses; the cached response to ``GET /api/v1/id``."""

    __slots__ = ("_sign", "endpoint", "handed_out", "kept_response", "kept_row", "terms")

    def __init__(self, sign: Sign, endpoint: Endpoint, identity: str, required_scope: str | None) -> None:
        # As in the base class, inlined, since this runs for every row of a new batch.
        self.id = identity
        self.required_scope = required_scope
        self.life = NO_LIFE
        self.fresh_until_s = self.expires_s = 0.0
        self.endpoint = endpoint
        self.terms: Terms | None = None
        """How the store is to fetch it again; None while it is kept."""
        self._sign = sign
        self.handed_out = False
        """Whether this worker has answered with it: from then on what is rendered is kept."""
        self.kept_response = self.kept_row = b""
        """As :meth:`response` and :meth:`row` render them; empty where they are not kept."""

    @property
    def ids(self) -> Sequence[str]:
        """The identity that it issues."""
        return (self.id,)

    def forget(self) -> None:
        """Count as expired from now on, and drop the rendered responses."""
        self.fresh_until_s = self.expires_s = 0.0
        self.kept_response = self.kept_row = b""
        self.terms = self.endpoint.terms

    def render(self, clock: ResponseClock) -> bytes | None:
        """Return the response, or None where the identity is due for renewal."""
        return (self.kept_response or self.response()) if self.fresh_until_s > clock.now_s else None

    def response(self) -> bytes:
        """Render the response from its own header lines on; kept from the second time on."""
        if self.kept_response:
            return self.kept_response
        response = response_of(self.id, self.life, self._sign)
        if self.handed_out:
            self.kept_response = response
        self.handed_out = True
        return response

    def row(self) -> bytes:
        """Render the members of a batch row, without the environment's name and braces; kept from the second on."""
        if self.kept_row:
            return self.kept_row
        identity, life = self.id, self.life
        email = identity[: identity.index("/")]
        token = self._sign(identity, life)
        row = f'"id":"{identity}","email":"{email}",{_moments(life)[0]},"token":"{token}"'.encode("ascii")
        if self.handed_out:
            self.kept_row = row
        self.handed_out = True
        return row


def response_of(identity: str, life: Life, sign: Sign) -> bytes:
    """Render the response to ``GET /api/v1/id`` from its own header lines on."""
    local, _, rest = identity.partition("@")
    prefix, _, run = local.partition("-")
    domain, said = _said_of(rest)
    body = (
        f'{{"id":"{identity}","email":"{local}@{domain}",{_moments(life)[0]},"token":"{sign(identity, life)}",'
        f'"metadata":{{"prefix":"{prefix}","run":"{run}",{said},{_PURPOSE}'
    )
    return f"{RESPONSE_LINES}{len(body)}\r\n\r\n{body}".encode("ascii")


def factory(sign: Sign, endpoint: Endpoint) -> Callable[[str, str | None], CachedIdentity]:
    """Return the factory of the entries of a worker's cache."""
    return partial(RenderedIdentity, sign, endpoint)


def rendered(entries: Sequence[CachedIdentity | None]) -> Sequence[RenderedIdentity]:
    """Cast the entries of a worker's cache, of which none is missing, to their class."""
    return cast(Sequence[RenderedIdentity], entries)


def pieces_of(names: Iterable[str], rows: Sequence[bytes], domain: str, version: str, ttl: int) -> list[bytes]:
    """Return the response to a batch from its own header lines up to the time stamp.

    Args:
        names: as JSON has them between its quotes.
        rows: as :meth:`RenderedIdentity.row` renders them.
    """
    ending = f'}}],"total":{len(rows)},"domain":"{domain}","version":"{version}","ttl":{ttl},"generated":"'
    pieces = [b""] * (2 * len(rows) + 2)
    pieces[1:-1:2] = (b'{"identities":[{"environment":"%b",' % _BETWEEN_NAMES.join(names).encode()).split(b"\0")
    pieces[2:-1:2] = rows
    pieces[-1] = ending.encode("ascii")
    pieces[0] = f"{RESPONSE_LINES}{sum(map(len, pieces)) + STAMP_BYTES}\r\n\r\n".encode("ascii")
    return pieces


class CachedVerdict:
    """The cached response to ``POST /api/v1/validate`` for a living identity."""

    __slots__ = ("_identity", "_response", "endpoint")

    required_scope: Final = None
    ids: Final = ()
    terms = property(attrgetter("_identity.terms"), doc="None while the identity is kept.")

    def __init__(self, identity: RenderedIdentity, endpoint: Endpoint) -> None:
        self._identity = identity
        self._response = verdict_of(identity.id, Status.ACTIVE, identity.life, cached=True)
        self.endpoint = endpoint

    @property
    def id(self) -> str:
        """The identity that it is on."""
        return self._identity.id

    @property
    def size_bytes(self) -> int:
        """The size of the response."""
        return len(self._response)

    def render(self, clock: ResponseClock) -> bytes | None:
        """Return the response with its time stamp; None where the identity has expired or was dropped."""
        return self._response + clock.stamp() if self._identity.expires_s > clock.now_s else None


def verdict_of(identity: str, status: Status, life: Life | None, *, cached: bool) -> bytes:
    """Render the response to the validation of an id up to the time stamp.

    ``cached``: its life is known to the worker or the store, and not over.
    """
    local, _, rest = identity.partition("@")
    prefix, _, run = local.partition("-")
    body = (
        f'{{"identity":"{identity}",{_SAID[status]},"metadata":{{"prefix":"{prefix}","run":"{run}",{_said_of(rest)[1]},'
        f'"type":"{KIND}","format":"{FORMAT}"}},"cached":{_JSON[cached]},'
        f'{_NO_STAMPS if life is None else _moments(life)[1]},"validated":"'
    )
    return f"{RESPONSE_LINES}{len(body) + STAMP_BYTES}\r\n\r\n{body}".encode("ascii")


@lru_cache(maxsize=64)  # a service has one domain, and few callers name another
def _said_of(rest: str) -> tuple[str, str]:
    """Return the domain in what follows an id's @, and the members that tell of it and of the version."""
    domain, _, version = rest.partition("/")
    return domain, f'"domain":"{domain}","version":"{version[:-3]}"'


@lru_cache(maxsize=64)  # identities issued in one batch have equal lives
def _moments(life: Life) -> tuple[str, str]:
    """Return the members ``ttl``, ``generated`` and ``expires`` of a life; and the latter two."""
    generated, expires = life
    stamps = f'"generated":"{timestamp(generated)}","expires":"{timestamp(expires)}"'
    return f'"ttl":{(expires - generated) // 1000},{stamps}', stamps
