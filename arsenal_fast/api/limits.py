"""Finds what a request is charged to where there is a limits file: its caller under the policies that are for it.

A caller has a client for each list of policies that its requests are charged to; the clients are cached. Another file
makes all of them new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import orjson

from arsenal_fast.api.json_body import MAX_ROWS
from arsenal_fast.api.router import Route
from arsenal_fast.cache import GenerationalCache
from arsenal_fast.errors import ProblemError
from arsenal_fast.http.query import parse_query
from arsenal_fast.http.request import Request
from arsenal_fast.ratelimit.client import Cell, Client, ClientAddresses, PlannedClient
from arsenal_fast.ratelimit.headers import Plan
from arsenal_fast.ratelimit.policies import ISSUE, VALIDATE, Charges, Policies, Policy
from arsenal_fast.ratelimit.quota import POLICY, UNLIMITED, Quota

MAX_CHARGED: Final = 1024
"""Different lists of charges whose quotas are cached; batches of many sizes make many."""

DEFAULT_PREFIX: Final = "unknown"
"""The prefix of an identity that is requested without one."""

PARAMETERS: Final = ("prefix", "run", "domain", "version", "ttl")
"""The parameters of ``GET /api/v1/id``."""

_NO_ROWS: Final[Mapping[str, int]] = {}


class Grouped(Protocol):
    """An endpoint, as far as a charge depends on it."""

    @property
    def group(self) -> str:
        """The group of its route."""


class Cached(Protocol):
    """A cached response, as far as its charge depends on it."""

    @property
    def endpoint(self) -> Grouped: ...

    @property
    def ids(self) -> Sequence[str]:
        """The identities that it issues."""


class _Charged(NamedTuple):
    quotas: tuple[Quota, ...]
    """Of the cells, in their order."""
    policies: tuple[Policy | None, ...]
    """Of each cell; None: one of the caller's own."""
    plan: Plan | None
    """None: one enforced quota, or none."""


class RequestLimits:
    """The clients of one worker under the policies of the limits file."""

    def __init__(self, policies: Policies, *, shards: int, clients: int, ignored: Callable[[str], object]) -> None:
        """
        Args:
            shards: of the shared store.
            clients: cached clients of a generation.
            ignored: whether an unknown query parameter passes.
        """
        self._shards = shards
        self._capacity = clients
        self._ignored = ignored
        self.use(policies)

    def use(self, policies: Policies) -> None:
        """Charge requests by these policies from now on."""
        self.policies = policies
        self._exempt = ClientAddresses(policies.exempt)
        self._clients: GenerationalCache[tuple[Client, Charges], PlannedClient] = GenerationalCache(self._capacity)
        self._charged: dict[tuple[Charges, tuple[Quota, ...]], _Charged] = {}
        self._by_group: dict[tuple[bool, str], Charges | None] = {}
        """By kind of caller and group of routes: the charges; None: they depend on the content of a request."""

    def of_request(self, caller: Client, route: Route, request: Request) -> Client:
        """Return the client that a request of a caller is charged to."""
        return self._of(caller, route.group, lambda: self._rows(route.group, request))

    def of_cached(self, caller: Client, cached: Cached) -> Client:
        """Return the client that a request with a cached response is charged to."""
        return self._of(caller, cached.endpoint.group, lambda: _rows_of(cached.ids))

    def of_caller(self, caller: Client) -> Client:
        """Return a client with all policies for a caller, to look at them."""
        return self._client(caller, self.policies.charges_of(token=caller.token))

    def _of(self, caller: Client, group: str, rows_of: Callable[[], tuple[int, Mapping[str, int]]]) -> Client:
        token = caller.token
        try:
            charges = self._by_group[token, group]
        except KeyError:
            reads = self.policies.reads_rows(group)
            charges = None if reads else self._charges(token, group, 1, _NO_ROWS)
            self._by_group[token, group] = charges
        if charges is None:
            charges = self._charges(token, group, *rows_of())
        return self._client(caller, charges)

    def _charges(self, token: bool, group: str, rows: int, by_prefix: Mapping[str, int]) -> Charges:
        return self.policies.charges(token=token, group=group, rows=rows, by_prefix=by_prefix)

    def _client(self, caller: Client, charges: Charges) -> Client:
        client = self._clients.get((caller, charges))
        if client is None:
            client = self._make(caller, charges)
            self._clients.put((caller, charges), client)
        return client

    def _make(self, caller: Client, charges: Charges) -> PlannedClient:
        if not caller.token and self._exempt.trusts(caller.key.removesuffix("/64")):
            return PlannedClient(caller, (), None)
        own = () if caller.quota is UNLIMITED else (caller, *caller.also)
        charged = self._charged_to(charges, tuple(cell.quota for cell in own))
        cells = [Cell(cell.key_bytes, cell.cell or cell.key_bytes, cell.quota) for cell in own]
        for policy, quota in zip(charged.policies, charged.quotas, strict=True):
            if policy is not None:
                cells.append(Cell(caller.key_bytes, _cell(caller, policy), quota))
        return PlannedClient(caller, cells, charged.plan)

    def _charged_to(self, charges: Charges, own: tuple[Quota, ...]) -> _Charged:
        """Return the quotas of a list of charges, behind the caller's own; enforced ones come first."""
        charged = self._charged.get((charges, own))
        if charged is None:
            if len(self._charged) >= MAX_CHARGED:
                self._charged.clear()
            charged = self._charged[charges, own] = self._made(charges, own)
        return charged

    def _made(self, charges: Charges, own: tuple[Quota, ...]) -> _Charged:
        ordered = sorted(charges, key=lambda charge: charge[0].shadow)
        made = [(policy, policy.quota_of(cost, self._shards)) for policy, cost in ordered]
        enforced = (*own, *(quota for policy, quota in made if not policy.shadow))
        shadows = tuple(quota for policy, quota in made if policy.shadow)
        is_plain = not shadows and len(enforced) == 1 and enforced[0].cost == 1
        plan = None if is_plain or not (enforced or shadows) else Plan(enforced, shadows)
        policies = (*(None for _ in own), *(policy for policy, _ in made))
        return _Charged((*enforced, *shadows), policies, plan)

    def _rows(self, group: str, request: Request) -> tuple[int, Mapping[str, int]]:
        """Return how many rows a request has, and how many of each prefix; one for a request that will be refused."""
        if group == ISSUE and request.method != b"POST":
            try:
                prefix = parse_query(request.query, PARAMETERS, self._ignored).get("prefix", DEFAULT_PREFIX)
            except ProblemError:
                return 1, _NO_ROWS
            return 1, {prefix.lower(): 1}
        member = {ISSUE: "environments", VALIDATE: "identities"}.get(group)
        if member is None:
            return 1, _NO_ROWS
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return 1, _NO_ROWS
        rows = body.get(member) if isinstance(body, dict) else None
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_ROWS:
            return 1, _NO_ROWS
        return len(rows), Counter(_prefixes(rows)) if group == ISSUE else _NO_ROWS


def _rows_of(ids: Sequence[str]) -> tuple[int, Mapping[str, int]]:
    return max(len(ids), 1), Counter([identity.partition("-")[0].lower() for identity in ids])


def _prefixes(rows: Iterable[object]) -> Iterable[str]:
    for row in rows:
        prefix = row.get("prefix", DEFAULT_PREFIX) if isinstance(row, dict) else None
        if isinstance(prefix, str):
            yield prefix.lower()


def _cell(caller: Client, policy: Policy) -> bytes:
    """Return the key of a caller's cell of a policy; that of a shared one begins with ``<``, as no caller's does."""
    if policy.shared:
        return b"<" + policy.name.encode()
    if policy.name == POLICY and not caller.token:
        return caller.key_bytes  # the cell that it has without a file
    return b"%b<%b" % (caller.key_bytes, policy.name.encode())
