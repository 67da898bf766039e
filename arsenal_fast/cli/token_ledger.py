"""``arsenal-fast token list | revoke | limit``, and what the other token commands need of ledger and Redis.

A withdrawal or another limit is written to the ledger and then to Redis, as the service does it. It is in force on
every replica when Redis has it; a service without Redis, or one that can't reach it, reads the ledger every 2 s.
Exit status: 0 in force, or soon; 1 not. Nothing here reads the environment: the URLs are arguments.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from arsenal_fast.cli.arguments import EXIT_FAILURE, Places
from arsenal_fast.identity.amendments import WITHDRAWN, Amendment, Amendments
from arsenal_fast.ledger.model import TokenChange, TokenQuery, TokenRecord
from arsenal_fast.registry.issuer import AuditContext
from arsenal_fast.registry.service_tokens import amendment_of_token, state_of, withdrawal_of_subject

if TYPE_CHECKING:
    from arsenal_fast.ledger.store import Store

CALLER: Final = AuditContext("cli")
"""Whom the ledger names for changes of this command line."""

LISTED: Final = 100_000
"""Tokens that are listed at most."""

MEMORY: Final = "memory://"
_REDIS_SECONDS: Final = 5.0  # that Redis may take: nobody else waits for it

IN_FORCE: Final = "It is in force: every replica has it before its next response."
SOON: Final = (
    "The ledger has it: a service without Redis knows it within 3 s. REDIS_URL is not set here; a service that uses "
    "Redis does not know it before the same command has run with its REDIS_URL."
)
NOT_SHARED: Final = (
    "The ledger has it, but Redis can't be reached from here. Replicas that can't reach it either know it within 3 s, "
    "all others when the same command has run where Redis can be reached."
)
NOWHERE: Final = "Neither the ledger nor Redis could be written, so nothing was changed."


@contextmanager
def kept(url: str) -> Iterator["Store | None"]:
    """Yield the store of the ledger, and say on stderr why there is none, and yield None."""
    from arsenal_fast.ledger.admin import LedgerError, address_of, as_ledger_error, open_store
    from arsenal_fast.ledger.errors import StoreError

    with ExitStack() as stack:
        try:
            address = address_of(url)
            with as_ledger_error(address):
                store: Store | None = stack.enter_context(open_store(address))
        except (LedgerError, ValueError) as error:
            print(f"arsenal-fast: the ledger can't be used: {error}", file=sys.stderr)
            store = None
        try:
            yield store
        except StoreError as error:
            print(f"arsenal-fast: the ledger has failed: {error}", file=sys.stderr)
            raise SystemExit(EXIT_FAILURE) from None


def learned(store: "Store | None") -> Amendments:
    """Return the amendments that the ledger knows."""
    amendments = Amendments()
    if store is not None:
        amendments.learn(store.amendments())
    return amendments


def find(store: "Store | None", token_id: str) -> TokenRecord | None:
    """Return the record of a token, or None."""
    records = [] if store is None else store.tokens(TokenQuery(1, token_id=token_id))
    return records[0] if records else None


def list_tokens(given: argparse.Namespace, *, places: Places, now: Callable[[], float]) -> int:
    """Print the minted tokens, newest first."""
    with kept(places.ledger_url()) as store:
        if store is None:
            return EXIT_FAILURE
        amendments = learned(store)
        states = [state_of(record, amendments, now()) for record in store.tokens(TokenQuery(LISTED))]
    if given.json:
        print(json.dumps([state.members() for state in states], indent=2))
    else:
        for line in table([state.members() for state in states]):
            print(line)
    return 0


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table of tokens."""
    names = ("id", "status", "subject", "scope", "rate_limit", "expires", "last_used", "name")
    cells = [names, *(tuple("-" if row[name] in (None, "") else str(row[name]) for name in names) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def revoke(given: argparse.Namespace, *, places: Places, now: Callable[[], float]) -> int:
    """Withdraw one token, or all of a subject."""
    with kept(places.ledger_url()) as store:
        if given.subject is not None:
            change = withdrawal_of_subject(given.subject, now(), CALLER)
        else:
            change = amendment_of_token(given.id, WITHDRAWN, _known(store, given.id), now(), CALLER)
        return _amend(store, places.redis_url(), change, as_json=given.json)


def limit(given: argparse.Namespace, *, places: Places, now: Callable[[], float]) -> int:
    """Give one token another limit."""
    with kept(places.ledger_url()) as store:
        record = _known(store, given.id)
        if record is not None and state_of(record, learned(store), now()).status == "revoked":
            print("arsenal-fast: the token has been withdrawn.", file=sys.stderr)
            return EXIT_FAILURE
        change = amendment_of_token(given.id, given.number, record, now(), CALLER)
        return _amend(store, places.redis_url(), change, as_json=given.json)


def _known(store: "Store | None", token_id: str) -> TokenRecord | None:
    record = find(store, token_id)
    if record is None and store is not None:
        print("The ledger does not know a token of this id: it is of an earlier release, or of none.", file=sys.stderr)
    return record


def _amend(store: "Store | None", redis_url: str, change: TokenChange, *, as_json: bool) -> int:
    assert change.key is not None
    assert change.amendment is not None
    if store is not None:
        store.write([change])
    shared = None if redis_url == MEMORY else asyncio.run(share(redis_url, change.key, change.amendment))
    if shared or (store is not None and redis_url == MEMORY):
        told = IN_FORCE if shared else SOON
        print(json.dumps({"in_force": bool(shared), "detail": told}) if as_json else told)
        return 0
    fault = NOWHERE if store is None else NOT_SHARED
    print(f"arsenal-fast: {'the token has been withdrawn.' if shared is False else fault}", file=sys.stderr)
    return EXIT_FAILURE


async def share(redis_url: str, key: str, amendment: Amendment) -> bool | None:
    """Write an amendment to Redis; returns whether it is in force, or None where Redis can't be reached."""
    from arsenal_fast.stores.redis.backend import RedisBackend
    from arsenal_fast.stores.redis.cluster import ClusterBackend
    from arsenal_fast.stores.redis.url import parse_url

    kind = ClusterBackend if parse_url(redis_url).nodes else RedisBackend
    backend = kind(redis_url, timeout=_REDIS_SECONDS, jitter=lambda: 0.5)
    await backend.start()
    answer: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
    backend.revocations.amend(key, amendment, answer.set_result)
    in_force = await answer
    await backend.close()
    return in_force
