"""Checks a Redis Cluster: whether each shard can be used, what a lost node takes along, and each master's settings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Final

import redis

from arsenal_fast.cli.doctor import store
from arsenal_fast.cli.doctor.finding import Check, Finding, Level
from arsenal_fast.cli.doctor.store import REACHABLE, Client
from arsenal_fast.config.load import Config
from arsenal_fast.stores.redis.keys import Keys, slot_of, tags_of
from arsenal_fast.stores.redis.nodes import read_slots
from arsenal_fast.stores.redis.url import Place, RedisAddress, parse_url

COVERAGE: Final = Check("cluster")

_ORDER: Final = (Level.FAIL, Level.WARN, Level.SKIP, Level.OK)
_COMPLETE: Final = (
    "Let a running master have its slot (redis-cli --cluster fix), and redis-cli --cluster check say nothing."
)


def examine(config: Config, now: Callable[[], float], timeout: float, stack: ExitStack) -> Iterator[Finding | Client]:
    """Check the cluster; yields findings, and the client of each master that has a shard for what is checked next."""
    address = parse_url(config.redis_url.reveal())
    masters, fault = _masters(address, timeout)
    if masters is None:
        yield fault
        return
    clients = {place: stack.enter_context(closing(_client(address, place, timeout))) for place in masters}
    away: dict[str, list[int]] = {}
    mend = _COMPLETE
    for shard, tag in enumerate(tags_of(address.shards)):
        place = next((place for place, slots in masters.items() if slot_of(tag) in slots), None)
        try:
            if place is None:
                away.setdefault("no node has its slot", []).append(shard)
            else:
                store.write(clients[place], Keys(tag))
        except (redis.RedisError, OSError) as error:
            text, mend = store.fault(error)
            away.setdefault(f"{place}: {text}", []).append(shard)
    if away:
        told = "; ".join(
            f"shard {', '.join(map(str, shards))} of {address.shards}: {text}" for text, shards in away.items()
        )
        yield REACHABLE.fail(f"{address}: {told}", mend)
        return
    yield REACHABLE.ok(f"{address} names {len(masters)} masters that answer, and our script may write to all shards")
    yield _coverage(clients, masters, address.shards)
    yield from _worst([list(store.examine_settings(client, config, now)) for client in clients.values()], list(clients))
    yield from clients.values()


def _client(address: RedisAddress, place: Place, timeout: float) -> Client:
    return store.open_client(replace(address, host=place.host, port=place.port, nodes=()), timeout)


def _masters(address: RedisAddress, timeout: float) -> tuple[dict[Place, set[int]] | None, Finding]:
    """Return the slots of each master, by the first node that tells; or why none does."""
    finding = REACHABLE.fail(f"{address}: it names no node", "Correct REDIS_URL.")
    for seed in address.nodes:
        try:
            with closing(_client(address, seed, timeout)) as client:
                told = client.execute_command("CLUSTER SLOTS")
        except (redis.RedisError, OSError) as error:
            text, mend = store.fault(error)
            if "cluster support disabled" in str(error):
                text, mend = "it is no cluster", "Write redis:// in REDIS_URL."
            finding = REACHABLE.fail(f"{address}: {text}", mend)
            continue
        masters: dict[Place, set[int]] = {}
        for first, last, place in read_slots(told, seed) or ():
            masters.setdefault(place, set()).update(range(first, last + 1))
        return masters, finding
    return None, finding


def _coverage(clients: Mapping[Place, Client], masters: Mapping[Place, set[int]], shards: int) -> Finding:
    held = set(map(slot_of, tags_of(shards)))
    counts = sorted((len(held & slots) for slots in masters.values()), reverse=True)
    text = f"the masters have {', '.join(map(str, counts))} of {shards} shards"
    alone, full = [], False
    for place, client in clients.items():
        try:
            if client.info("replication")["connected_slaves"] == 0:
                alone.append(str(place))
            full = (
                full or client.config_get("cluster-require-full-coverage").get("cluster-require-full-coverage") == "yes"
            )
        except redis.RedisError:  # managed services refuse CONFIG
            continue
    if alone:
        mend = "Give each master a replica."
        return COVERAGE.warn(
            f"{text}; without a replica, {', '.join(alone)} takes its shards along when it is lost", mend
        )
    if full:
        effect = "a master that is lost with its replica takes all shards along, not only its own"
        return COVERAGE.warn(f"{text}; {effect}", "Set `cluster-require-full-coverage no` in Redis.")
    if counts[-1] == 0:
        mend = "Move the slots of some shards to it, or set more shards in REDIS_URL (?shards=n)."
        return COVERAGE.warn(f"{text}; a master without one serves nothing", mend)
    return COVERAGE.ok(text)


def _worst(findings: Sequence[Sequence[Finding]], places: Sequence[Place]) -> Iterator[Finding]:
    """Yield the worst finding of each check over the masters; one that is not good names its master."""
    by_check: dict[str, list[tuple[int, Finding]]] = {}
    for number, each in enumerate(findings):
        for finding in each:
            by_check.setdefault(finding.check, []).append((number, finding))
    for group in by_check.values():
        number, worst = min(group, key=lambda each: _ORDER.index(each[1].level))
        yield worst if worst.level is Level.OK else worst._replace(text=f"{places[number]}: {worst.text}")
