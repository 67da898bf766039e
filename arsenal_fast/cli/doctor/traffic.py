"""Checks whether all clients share one address: behind an untrusted proxy they share its limit.

The limiter's cells in Redis show the clients charged recently: one key for each client below its full limit. The scan
needs no access to the service and costs it nothing. It ends with the second address, or after SCANS steps, however many
keys there are.
"""

from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

import redis

from arsenal_fast.cli.doctor.finding import Finding, Level
from arsenal_fast.cli.doctor.store import Client
from arsenal_fast.config.load import Config
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.stores.redis.limiter import KEY_PREFIX

CHECK: Final = "traffic"

SCANS: Final = 40  # steps, each of
SCAN_KEYS: Final = 500  # keys that Redis looks at, in a fraction of a millisecond

BUSY: Final = 10  # requests that must stand against an address before it counts as "all traffic"

_TRUST: Final = "TRUSTED_PROXIES to your proxy's address or network, so that each client behind it has its own limit."


class Charged(NamedTuple):
    """A summary of the cells. ``requests``: charged to ``address``, the only one; else ""."""

    address: str = ""
    requests: int = 0
    several: bool = False


def examine(client: Client | None, config: Config) -> Finding:
    """Check the charged clients. ``client``: None without a Redis that answers."""
    if not config.rate_limit_requests:
        return Finding(CHECK, Level.SKIP, "no client is limited (RATE_LIMIT_REQUESTS is 0)")
    charged = None
    if client is not None:
        try:
            charged = look(client, Quota(config.rate_limit_requests, config.rate_limit_window))
        except redis.RedisError:
            charged = None
    return judge(charged, config)


def look(client: Client, quota: Quota) -> Charged:
    """Return the charged addresses of a bounded scan; raises RedisError."""
    addresses: set[bytes] = set()
    cursor = 0
    for _ in range(SCANS):
        cursor, keys = client.scan(cursor, match=KEY_PREFIX + b"*", count=SCAN_KEYS)
        found = (key.removeprefix(KEY_PREFIX) for key in keys)
        addresses.update(each for each in found if not each.startswith(b"sub:"))
        if len(addresses) > 1:
            return Charged(several=True)
        if not cursor:
            break
    if not addresses:
        return Charged()
    (address,) = addresses
    arrival = client.get(KEY_PREFIX + address)
    seconds, microseconds = client.time()
    backlog = int(arrival or 0) - (seconds * 1_000_000 + microseconds)
    return Charged(address.decode("ascii", "replace"), max(0, -(-backlog // quota.interval)))


def judge(charged: Charged | None, config: Config) -> Finding:
    """Judge the scan. ``charged``: None where it was not possible."""
    limit = config.rate_limit_requests
    proxies = config.trusted_proxies
    behind_tls = config.api_base_url.startswith("https:") and not config.tls
    if charged is not None and charged.several:
        return Finding(CHECK, Level.OK, "clients of several addresses are limited apart")
    if charged is not None and charged.requests >= min(BUSY, limit):
        address, text = charged.address, f"All traffic comes from one address, {charged.address}"
        if not proxies:
            return Finding(CHECK, Level.WARN, f"{text}: TRUSTED_PROXIES is unset.", f"If that is a proxy, set {_TRUST}")
        if _trusted(address, proxies):
            mend = "Let it add X-Forwarded-For to what it sends on."
            return Finding(CHECK, Level.WARN, f"{text}, a trusted proxy that names no client.", mend)
        if _private(address):
            mend = f"If that is a proxy too, add it: set {_TRUST}"
            return Finding(CHECK, Level.WARN, f"{text}, which is in none of TRUSTED_PROXIES.", mend)
    if not proxies and behind_tls:
        text = "API_BASE_URL is https and the service speaks no TLS, so a proxy does; TRUSTED_PROXIES is unset."
        return Finding(CHECK, Level.WARN, f"{text} All clients behind it share one limit.", f"Set {_TRUST}")
    if charged is None:
        return Finding(CHECK, Level.SKIP, "who is charged can't be seen without a Redis that answers")
    return Finding(
        CHECK, Level.OK, "too few requests of late to tell" if charged.address else "nobody was charged of late"
    )


def _trusted(key: str, proxies: tuple[str, ...]) -> bool:
    network = ip_network(key, strict=False) if key != "local" else None
    for entry in proxies:
        proxy = ip_network(entry)
        if network is not None and network.version == proxy.version and network.overlaps(proxy):
            return True
    return False


def _private(key: str) -> bool:
    return key == "local" or ip_address(key.partition("/")[0]).is_private
