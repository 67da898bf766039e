"""``GET /api/v1/id`` and ``POST /api/v1/identities``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from typing import Final, NamedTuple

import orjson

from arsenal_fast.api import auth
from arsenal_fast.api.context import RequestContext
from arsenal_fast.api.fastpath.render import pieces_of, rendered
from arsenal_fast.api.fastpath.response_cache import DEFAULT_VERSION, MAX_NAME
from arsenal_fast.api.json_body import MAX_ROWS, Values, may_be_json, pointer, raise_faults, read_object
from arsenal_fast.api.limits import DEFAULT_PREFIX, PARAMETERS
from arsenal_fast.api.services import Services
from arsenal_fast.errors import Fault, InvalidIdentity
from arsenal_fast.http.query import parse_query
from arsenal_fast.http.request import Request
from arsenal_fast.identity import grammar
from arsenal_fast.identity.runs import LENGTH, MAX_PREFIX, is_drawn
from arsenal_fast.identity.validity import DEFAULT_TTL, parse_ttl, ttl_fault
from arsenal_fast.registry.cache import CachedIdentity
from arsenal_fast.registry.issuer import BatchRequest

MAX_UNKNOWN: Final = 8
"""Unknown members of an environment that a response names; bounds the response."""

RESERVED: Final = (
    "run has the form of the runs that this service draws, and none of those can be asked for by its name: leave run "
    "out for a new identity, or ask /api/v1/validate about the one that you hold."
)
_LONG_PREFIX: Final = (
    f"prefix must be at most {MAX_PREFIX} characters where run is left out, for the run that is drawn has {LENGTH}."
)

_NO_IDENTITY: Final = "prefix and run don't make an identity."

_BATCH: Final = ("environments", "domain", "version", "ttl")
_ENVIRONMENT: Final = ("name", "prefix", "run")
_KEPT_ROW: Final = attrgetter("kept_row")
_REQUIRED_SCOPE: Final = attrgetter("required_scope")


def issue_one(services: Services, context: RequestContext) -> None:
    """Respond with the living identity, issued or renewed where needed."""
    request = context.request
    text = services.response_cache.usual_id(request.query)
    named, ttl = True, DEFAULT_TTL
    if text is None:
        text, named, ttl = _asked_for(services, request.query)
    ids = [text]
    _demand(services, context, ids)

    def done(found: Sequence[CachedIdentity]) -> None:
        identity = rendered(found)[0]
        response = identity.response()
        if identity.kept_response and named:
            services.response_cache.put_identity(request, identity)
        context.respond(200, response)

    services.issuer.issue(BatchRequest(ids, ttl * 1000, context.audit, context.guard(done), services.identities))


def _asked_for(services: Services, query: bytes) -> tuple[str, bool, int]:
    """Return the id, whether its run was named (and not drawn), and the ttl; raises ProblemError 400."""
    given = parse_query(query, PARAMETERS, services.ignored_parameters)
    values = Values(given, query=True)
    prefix = given.get("prefix", DEFAULT_PREFIX)
    run = given.get("run")
    domain = given.get("domain", services.settings.domain)
    version = given.get("version", DEFAULT_VERSION)
    ttl = values.read("ttl", parse_ttl, DEFAULT_TTL)
    wanted = _wanted(services, prefix, run, domain, version)
    if wanted is None:
        for name, detail in _part_faults(prefix, run, domain, version):
            values.add(name, detail)
    raise_faults(values.faults)
    assert wanted is not None
    return wanted, run is not None, ttl


def issue_batch(services: Services, context: RequestContext) -> None:
    """Respond with a living identity for each environment, or with all faults of the request."""
    request = context.request
    usual = services.response_cache.usual_batch(request.body) if may_be_json(request.fields) else None
    batch = _Batch(*usual, services.settings.domain) if usual is not None else _batch_asked_for(services, request)
    escaped = batch.names if usual is not None else [orjson.dumps(name)[1:-1].decode() for name in batch.names]
    _demand(services, context, batch.ids)

    def done(found: Sequence[CachedIdentity]) -> None:
        identities = rendered(found)
        rows = list(map(_KEPT_ROW, identities))
        kept = all(rows)
        if not kept:
            rows = [identity.row() for identity in identities]
        pieces = pieces_of(escaped, rows, batch.domain, batch.version, batch.ttl)
        # The same body means the same identities where every run is named.
        if kept and batch.named and not any(map(_REQUIRED_SCOPE, identities)):
            services.response_cache.put_batch(request, identities, pieces)
        services.clock.refresh()
        context.respond(200, b"".join((*pieces, services.clock.stamp())))

    audit = partial(context.audit, batch.names)
    services.issuer.issue(BatchRequest(batch.ids, batch.ttl * 1000, audit, context.guard(done), services.identities))


class _Batch(NamedTuple):
    """A valid batch: the names of its environments, and an id for each."""

    names: list[str]
    ids: list[str]
    domain: str
    """In lower case."""
    version: str = DEFAULT_VERSION
    ttl: int = DEFAULT_TTL
    """Seconds."""
    named: bool = True
    """Whether every row names its run."""


def _batch_asked_for(services: Services, request: Request) -> _Batch:
    """Read the body; raises ProblemError with all of its faults."""
    body = read_object(request, _BATCH)
    values = Values(body)
    domain = values.text("domain", grammar.domain_fault, services.settings.domain)
    version = values.text("version", grammar.version_fault, DEFAULT_VERSION)
    ttl = values.read("ttl", _whole_ttl, DEFAULT_TTL)
    names, ids, named = _environments(services, body.get("environments"), domain, version, values.faults)
    raise_faults(values.faults)
    return _Batch(names, ids, domain.lower(), version, ttl, named)


def _demand(services: Services, context: RequestContext, ids: Sequence[str]) -> None:
    """Raise ProblemError where a prefix is protected and the caller's token does not allow it."""
    protected = services.settings.protected_prefixes
    if not protected or auth.ISSUE in context.client.scopes:
        return
    allowed = {scope.removeprefix(f"{auth.ISSUE}:") for scope in context.client.scopes}
    if not {grammar.split(identity).prefix.lower() for identity in ids} & protected <= allowed:
        auth.demand(context.client, auth.ISSUE, "An identity with a protected prefix")


def _whole_ttl(value: int) -> int:
    detail = ttl_fault(value)
    if detail is not None:
        raise ValueError(detail)
    return value


def _environments(
    services: Services, environments: object, domain: str, version: str, faults: list[Fault]
) -> tuple[list[str], list[str], bool]:
    """Return names, ids, and whether every row names its run; appends to the faults."""
    names: list[str] = []
    ids: list[str] = []
    named = True
    if not isinstance(environments, list) or not 1 <= len(environments) <= MAX_ROWS:
        detail = f"environments must be an array of 1 to {MAX_ROWS} objects"
        faults.append({"pointer": "/environments", "detail": detail})
        return names, ids, named
    for index, environment in enumerate(environments):
        row_faults = _environment_faults(environment)
        if isinstance(environment, dict):
            # One that is no string has its own fault, and the other is looked at all the same.
            prefix, run = environment.get("prefix"), environment.get("run")
            prefix = prefix if isinstance(prefix, str) else DEFAULT_PREFIX
            run = run if isinstance(run, str) else None
            text = _wanted(services, prefix, run, domain, version)
            if text is None:
                # The domain and the version are valid here: they have their own faults.
                row_faults += _part_faults(prefix, run, domain, version)
            elif not row_faults:
                named = named and run is not None
                names.append(environment["name"])
                ids.append(text)
        faults += [
            {"pointer": pointer("environments", index, *((name,) if name else ())), "detail": detail}
            for name, detail in row_faults
        ]
    return names, ids, named


def _environment_faults(environment: object) -> list[tuple[str, str]]:
    """Return (member, sentence) for each fault in the members of a row."""
    if not isinstance(environment, dict):
        return [("", "must be an object with name, prefix and run")]
    unknown = [name for name in environment if name not in _ENVIRONMENT]
    faults = [(name, "is not known; known are name, prefix, run") for name in unknown[:MAX_UNKNOWN]]
    name = environment.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        faults.append(("name", f"name must be a string of 1 to {MAX_NAME} characters"))
    faults += [
        (member, f"{member} must be a string")
        for member in ("prefix", "run")
        if member in environment and not isinstance(environment[member], str)
    ]
    return faults


def _wanted(services: Services, prefix: str, run: str | None, domain: str, version: str) -> str | None:
    """Return the id to issue, with a drawn run where none is named; None where a part is at fault."""
    if run is not None and is_drawn(run):
        return None
    try:
        return grammar.compose(prefix, services.draw_run() if run is None else run, domain, version).id
    except InvalidIdentity:
        return None


def _part_faults(prefix: str, run: str | None, domain: str, version: str) -> list[tuple[str, str]]:
    """Return (part, sentence) for every part at fault."""
    found = {
        "prefix": grammar.prefix_fault(prefix),
        "run": None if run is None else RESERVED if is_drawn(run) else grammar.run_fault(run),
        "domain": grammar.domain_fault(domain),
        "version": grammar.version_fault(version),
    }
    faults = [(part, detail) for part, detail in found.items() if detail is not None]
    if not faults:
        # Valid one by one, but together they are too long.
        faults = [
            ("prefix", _LONG_PREFIX) if run is None else ("run", grammar.local_fault(prefix, run) or _NO_IDENTITY)
        ]
    return faults
