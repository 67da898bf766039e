"""Checks whether most clients share one address: behind an untrusted proxy they share its limit.

The limiter's cells in Redis show the clients charged recently: one key for each client below its full limit. The scan
needs no access to the service and costs it nothing. It ends after SCANS steps, however many keys there are.
"""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

import redis

from arsenal_fast.cli.doctor.finding import Check, Finding
from arsenal_fast.cli.doctor.store import Client
from arsenal_fast.config.load import Config
from arsenal_fast.ratelimit.quota import Quota

CHECK: Final = Check("traffic")

_CELLS: Final = b"af:{*}:c:*"  # of any shard
_CELL: Final = b"}:c:"

SCANS: Final = 40  # steps, each of
SCAN_KEYS: Final = 500  # keys that Redis looks at, in a fraction of a millisecond

BUSY: Final = 10  # requests that must stand against an address before it counts as "all traffic"
MOST: Final = 0.5
"""The share of all requests that counts as "most": an address at its limit is not charged further."""

_TRUST: Final = "TRUSTED_PROXIES to your proxy's address or network, so that each client behind it has its own limit."


class Charged(NamedTuple):
    """A summary of the cells: the address that most requests are charged to."""

    address: str = ""
    requests: int = 0
    """Charged to ``address``."""
    total: int = 0
    """Charged to all addresses."""
    addresses: int = 0


def examine(clients: Sequence[Client], config: Config) -> Finding:
    """Check the charged clients. ``clients``: of each Redis that answers; several of a cluster."""
    if not config.rate_limit_requests:
        return CHECK.skip("no client is limited (RATE_LIMIT_REQUESTS is 0)")
    charged = None
    if clients:
        try:
            charged = look(clients, Quota(config.rate_limit_requests, config.rate_limit_window))
        except redis.RedisError:
            charged = None
    return judge(charged, config)


def look(clients: Sequence[Client], quota: Quota) -> Charged:
    """Return the summary of a bounded scan; raises RedisError."""
    requests: dict[bytes, int] = {}
    for client in clients:
        seconds, microseconds = client.time()
        now = seconds * 1_000_000 + microseconds
        cursor = 0
        for _ in range(SCANS):
            cursor, keys = client.scan(cursor, match=_CELLS, count=SCAN_KEYS)
            pipeline = client.pipeline(transaction=False)  # no MGET: the keys of a cluster's node have several slots
            for key in keys:
                pipeline.get(key)
            for key, arrival in zip(keys, pipeline.execute(raise_on_error=False), strict=True):
                address = key.partition(_CELL)[2]
                if not address.startswith(b"sub:"):
                    waits = int(arrival) - now if isinstance(arrival, bytes) and arrival.isdigit() else 0
                    requests[address] = max(0, -(-waits // quota.interval))
            if not cursor:
                break
    if not requests:
        return Charged()
    busiest = max(requests, key=lambda address: requests[address])
    total = sum(requests.values())
    return Charged(busiest.decode("ascii", "replace"), requests[busiest], total, len(requests))


def judge(charged: Charged | None, config: Config) -> Finding:
    """Judge the scan. ``charged``: None where it was not possible."""
    proxies = config.trusted_proxies
    behind_tls = config.api_base_url.startswith("https:") and not config.tls
    if charged is not None and _is_suspect(charged, config, behind_tls):
        most = "All" if charged.addresses == 1 else "Most"
        text = f"{most} traffic comes from one address, {charged.address}"
        if charged.addresses > 1:
            text += f" ({charged.requests} of {charged.total} requests, {charged.addresses} addresses)"
        if not proxies:
            return CHECK.warn(f"{text}: TRUSTED_PROXIES is unset.", f"If that is a proxy, set {_TRUST}")
        if _trusted(charged.address, proxies):
            mend = "Let it add X-Forwarded-For to what it sends on."
            return CHECK.warn(f"{text}, a trusted proxy that names no client.", mend)
        mend = f"If that is a proxy too, add it: set {_TRUST}"
        if not _private(charged.address):
            mend = f"If that is your balancer's own address, which it appends to X-Forwarded-For, add it: set {_TRUST}"
        return CHECK.warn(f"{text}, which is in none of TRUSTED_PROXIES.", mend)
    if charged is not None and charged.addresses > 1:
        return CHECK.ok("clients of several addresses are limited apart")
    if not proxies and behind_tls:
        text = "API_BASE_URL is https and the service speaks no TLS, so a proxy does; TRUSTED_PROXIES is unset."
        return CHECK.warn(f"{text} All clients behind it share one limit.", f"Set {_TRUST}")
    if charged is None:
        return CHECK.skip("who is charged can't be seen without a Redis that answers")
    return CHECK.ok("too few recent requests to tell" if charged.address else "no client was charged recently")


def _is_suspect(charged: Charged, config: Config, behind_tls: bool) -> bool:
    """Whether one address has most of the traffic where a proxy may be: one client, without a proxy, may have it."""
    if charged.requests < min(BUSY, config.rate_limit_requests) or charged.requests <= MOST * charged.total:
        return False
    behind_proxy = bool(config.trusted_proxies) or behind_tls or _private(charged.address)
    return behind_proxy or charged.addresses == 1


def _trusted(key: str, proxies: tuple[str, ...]) -> bool:
    if key == "local":
        return False
    network = ip_network(key, strict=False)
    return any(proxy.version == network.version and network.overlaps(proxy) for proxy in map(ip_network, proxies))


def _private(key: str) -> bool:
    return key == "local" or ip_address(key.partition("/")[0]).is_private
