"""Checks the sentinels of Redis: whether a failover would succeed, and the service would follow it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import redis

from arsenal_fast.cli.doctor import store
from arsenal_fast.cli.doctor.finding import Check, Finding
from arsenal_fast.config.load import Config
from arsenal_fast.stores.redis.url import Place, parse_url

CHECK: Final = Check("sentinels")

State = Mapping[str, Any]
"""The reply to SENTINEL MASTER, as redis-py parses it."""


def examine(config: Config, timeout: float) -> Iterator[Finding]:
    """Ask each sentinel of REDIS_URL, where there are any. ``timeout``: seconds of each wait."""
    address = parse_url(config.redis_url.reveal())
    if not address.sentinels:
        return
    clients = store.sentinels(address, timeout).sentinels
    states = [_state(client, address.service) for client in clients]
    for client in clients:
        client.close()
    yield judge(address.sentinels, states)


def judge(places: Sequence[Place], states: Sequence[State | None]) -> Finding:
    """Judge what the sentinels say, in the order of their places; None for one that does not answer."""
    told = [state for state in states if state is not None]
    text = f"{len(told)} of {len(places)} sentinels answer"
    if not told:
        return CHECK.skip(f"{text} for this service")
    silent = [f"{place.host}:{place.port}" for place, state in zip(places, states, strict=True) if state is None]
    if silent:
        mend = "Start it, or let a firewall or NetworkPolicy pass its port; all have one service and one password."
        return CHECK.warn(f"{text}, {', '.join(silent)} does not", mend)
    if len({(state["ip"], state["port"]) for state in told}) > 1:
        mend = "Wait for the failover to end; else SENTINEL RESET on the one that differs."
        return CHECK.warn(f"{text}, and they name different masters", mend)
    known = min(int(state["num-other-sentinels"]) for state in told) + 1
    quorum, replicas = int(told[0]["quorum"]), min(int(state["num-slaves"]) for state in told)
    text += f", quorum {quorum}, replicas: {replicas}"
    if known != len(places):
        return CHECK.warn(f"{text}: they know {known} of them", "Name each sentinel in REDIS_URL, and no other.")
    if known < 3 or quorum > known:
        return CHECK.warn(f"{text}: where one fails no failover succeeds", "Run three sentinels with a quorum of two.")
    if not replicas:
        return CHECK.warn(f"{text}: there is nothing to fail over to", "Give the master a replica.")
    return CHECK.ok(text)


def _state(client: Any, service: str) -> State | None:
    try:
        state: State = client.sentinel_master(service)
    except (redis.RedisError, OSError):
        return None
    return state
