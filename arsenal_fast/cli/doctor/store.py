"""Checks Redis: whether it can be used, and whether its settings suit our data."""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from arsenal_fast.cli.doctor.finding import Check, Finding, Level
from arsenal_fast.config.load import Config
from arsenal_fast.ledger.url import NONE as NO_LEDGER
from arsenal_fast.ratelimit import gcra
from arsenal_fast.stores.redis import errors
from arsenal_fast.stores.redis.backend import PROBE_KEY
from arsenal_fast.stores.redis.limiter import REVISION_KEY
from arsenal_fast.stores.redis.url import TLS_PARAMETERS, parse_url

REACHABLE: Final = Check("redis")
VERSION: Final = Check("redis-version")
PERSISTENCE: Final = Check("persistence")
EVICTION: Final = Check("eviction")
CLOCK: Final = Check("clock")

MIN_VERSION: Final = (6, 0)

SKEW_WARN: Final = 1.0  # seconds; NTP holds milliseconds
SKEW_FAIL: Final = 60.0
"""Lives begin by Redis's clock and are checked by the worker's: identities of a minute would be handed out expired."""

FULL: Final = 0.7  # of maxmemory, as the alert RedisMemoryNearlyFull

POLICY: Final = "volatile-lfu"
_SET_POLICY: Final = f"Set `maxmemory-policy {POLICY}` in Redis (deploy/redis/redis.conf)."


class Uses(NamedTuple):
    """Redis's settings for LFU counters: ``factor`` is lfu-log-factor, ``decay`` the minutes of lfu-decay-time."""

    factor: int
    decay: int


Client = Any
"""A ``redis.Redis``, whose types change with each release."""
Info = Mapping[str, Any]
"""The reply to INFO, as redis-py parses it."""


def connect(config: Config, timeout: float) -> Client:
    """Return a client for the configured Redis, not connected yet. ``timeout``: seconds of each wait."""
    address = parse_url(config.redis_url.reveal())
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.user.decode("utf-8", "surrogateescape") or None,
        "password": address.password.decode("utf-8", "surrogateescape") or None,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),  # the operator may repeat the command
        "protocol": 2,
    }
    if address.path:
        return redis.Redis(unix_socket_path=address.path, **options)
    tls: dict[str, Any] = {}
    if address.tls:
        tls = {name: value for name, value in address.parameters.items() if name in TLS_PARAMETERS}
        tls |= {"ssl": True, "ssl_check_hostname": address.parameters.get("ssl_check_hostname") != "false"}
    if address.sentinels:
        own = {"socket_timeout": timeout, **tls}
        for name in ("username", "password"):
            own[name] = address.parameters.get(f"sentinel_{name}")
        sentinels: Client = Sentinel
        return sentinels(list(address.sentinels), sentinel_kwargs=own, **options, **tls).master_for(address.service)
    return redis.Redis(host=address.host, port=address.port, **options, **tls)


def examine(client: Client, config: Config, now: Callable[[], float]) -> Iterator[Finding]:
    """Check Redis. ``now``: wall clock, seconds. The first finding is whether it can be used; if not, the only one."""
    where = parse_url(config.redis_url.reveal())
    try:
        client.ping()
        _write(client)
    except (redis.RedisError, OSError) as error:
        text, mend = fault(error)
        yield REACHABLE.fail(f"{where}: {text}", mend)
        return
    yield REACHABLE.ok(f"{where} answers, and our script may write")
    try:
        info: Info = client.info()
    except redis.RedisError as error:
        text, mend = fault(error)
        for check in (VERSION, PERSISTENCE, EVICTION):
            yield Finding(check, Level.SKIP, f"INFO: {text}", mend)
    else:
        yield judge_version(info)
        has_ledger = config.database_url.reveal() != NO_LEDGER
        yield judge_persistence(info, _snapshots(client), has_ledger)
        yield judge_eviction(info, _uses(client), config, has_ledger)
    yield judge_clock(*_skew(client, now))


def judge_version(info: Info) -> Finding:
    """Judge version and role: old versions lack commands, a replica can't be written, a cluster redirects."""
    valkey = info.get("valkey_version")
    text = f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"
    version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
    if version < MIN_VERSION:
        return VERSION.fail(f"{text}: at least 6.0 is needed", "Upgrade to Redis 7, or Valkey.")
    if info.get("redis_mode") == "cluster":
        mend = "Use a Redis without cluster mode, or with Sentinel."
        return VERSION.warn(f"{text} in cluster mode, whose redirections are not followed", mend)
    return VERSION.ok(text)


def judge_persistence(info: Info, snapshots: bool | None, has_ledger: bool) -> Finding:
    """Judge persistence. ``snapshots``: whether RDB files are written automatically; None if unknown."""
    append_only = bool(info.get("aof_enabled"))
    if info.get("rdb_last_bgsave_status") == "err" or (append_only and info.get("aof_last_write_status") == "err"):
        mend = "Make room on its disk and see its log; until then Redis may refuse writes (MISCONF)."
        return PERSISTENCE.warn("Redis could not write its data to the disk", mend)
    kept = [name for name, on in (("append-only file", append_only), ("snapshots", snapshots)) if on]
    if kept:
        return PERSISTENCE.ok(" and ".join(kept))
    if snapshots is None:
        return PERSISTENCE.skip("CONFIG may not be asked for `save`, and there is no append-only file")
    if has_ledger:
        return PERSISTENCE.ok("none; identities come back from the ledger, limits begin anew")
    mend = "Set `save 60 1` or `appendonly yes` in Redis, or keep a ledger (DATABASE_URL)."
    text = "Redis keeps nothing on its disk and there is no ledger: its restart forgets every identity"
    return PERSISTENCE.warn(text, mend)


def judge_eviction(info: Info, uses: Uses | None, config: Config, has_ledger: bool) -> Finding:
    """Judge the eviction policy: only eviction by use keeps limits and revocations.

    ``uses``: how Redis counts them, None where that can't be asked.
    """
    policy, limit, used = str(info.get("maxmemory_policy")), int(info["maxmemory"]), int(info["used_memory"])
    text = f"{policy}, {_megabytes(used)} in use" + (f" of {_megabytes(limit)}" if limit else ", no maxmemory")
    evicted = int(info.get("evicted_keys", 0))
    if policy != POLICY:
        refuses = "it refuses all writes then, and each worker limits by itself"
        effect = refuses if policy == "noeviction" else "a flood of identities gives everybody a fresh limit"
        return EVICTION.warn(f"{text}: once it is full, {effect}", _SET_POLICY)
    if uses is not None and uses.factor:
        text += f": lfu-log-factor is {uses.factor}, so that a spent limit looks hardly more used than a new key"
        return EVICTION.warn(text, "Set `lfu-log-factor 0` in Redis.")
    if uses is not None and 0 < uses.decay * 60 < (interval := _seconds_per_request(config)):
        text += f": lfu-decay-time is {uses.decay} min, so that a limit is forgotten before it is over"
        return EVICTION.warn(text, f"Set `lfu-decay-time {-(-interval // 60)}` in Redis.")
    if limit and used > FULL * limit:
        text += ": Redis drops identities soon" + ("" if has_ledger else ", which no ledger knows")
        return EVICTION.warn(text, "Give Redis more maxmemory.")
    if evicted:
        text += f"; {evicted} keys were evicted" + ("" if has_ledger else ", and no ledger knows them")
        return EVICTION.warn(text, "Give Redis more maxmemory.")
    if config.production and not limit:
        mend = "Set maxmemory to three quarters of the container's limit."
        return EVICTION.warn(f"{text}: a full machine or container ends Redis", mend)
    return EVICTION.ok(text)


def judge_clock(skew: float, error: float) -> Finding:
    """Judge the clock. ``skew``: seconds that Redis's clock is ahead of ours; ``error``: the bound of its error."""
    direction = "ahead of" if skew > 0 else "behind"
    text = f"Redis's clock is {abs(skew):.3f} s {direction} ours"
    certain = abs(skew) - error
    if certain <= SKEW_WARN:
        return CLOCK.ok(text)
    level = Level.FAIL if certain > SKEW_FAIL else Level.WARN
    mend = "Let both machines take the time from NTP (chrony, systemd-timesyncd)."
    return Finding(CLOCK, level, f"{text}: lives and tokens are judged wrongly by as much", mend)


# Texts of redis-py and of Redis are searched, never shown: a later one may contain a password.
_LOGIN_WANTED: Final = "NOAUTH|without any password|Authentication required"
_LOGIN_REFUSED: Final = "WRONGPASS|invalid username-password|invalid password"
_NO_DISK: Final = "it can't write to its disk and refuses writes"
_NO_PRIMARY: Final = "it is a replica that has lost its primary"
_FAULTS: Final = (
    (_LOGIN_WANTED, "it wants a password", "Write redis://:PASSWORD@host."),
    (
        "No master found",
        "no sentinel names a master",
        "Correct the sentinels, the service and sentinel_password in REDIS_URL: "
        "redis+sentinel://:PASSWORD@host,host/service/0?sentinel_password=...",
    ),
    (
        _LOGIN_REFUSED,
        "it refuses the user or the password",
        "Put Redis's own password into REDIS_URL, percent-encoded.",
    ),
    ("LOADING", "it is loading its data", "Wait: it answers when that is done."),
    ("READONLY|read only replica", "it is a replica, which can't be written", "Name the primary in REDIS_URL."),
    ("MASTERDOWN|Link with MASTER is down", _NO_PRIMARY, "Name the primary in REDIS_URL."),
    ("OOM|used memory >", "its memory is full", f"Give Redis more maxmemory. {_SET_POLICY}"),
    ("MISCONF|persist on disk", _NO_DISK, "Make room on its disk; see its log."),
    ("NOPERM|no permissions", "the user may not do what we need", "Allow it ~af:* and +@all -@dangerous +info."),
    ("DB index|invalid DB", "it has no database of that number", "Choose another one in REDIS_URL: /0."),
    ("SSL|wrong version number", "it speaks no TLS that we understand", "Is rediss:// meant, or redis://?"),
)


def fault(error: Exception) -> tuple[str, str]:
    """Return what went wrong, and the mend."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return errors.of_connect(
            cause
        ), "Let ssl_ca_certs in REDIS_URL, or SSL_CERT_FILE, name the authority that signed it."
    text = f"{error} {cause or ''}"
    if isinstance(error, redis.BusyLoadingError):
        text = "LOADING"
    if isinstance(cause, ssl.SSLError):
        text += " SSL"
    for signs, sentence, mend in _FAULTS:
        if re.search(signs, text):
            return sentence, mend
    if isinstance(error, redis.InvalidResponse):
        return "what answers there is no Redis", "Correct host and port in REDIS_URL."
    if isinstance(error, redis.TimeoutError):
        mend = (
            "Is it overloaded, is redis:// meant for rediss://, or does a firewall or NetworkPolicy drop what we send?"
        )
        return "it does not answer in time", mend
    if isinstance(error, redis.ConnectionError | OSError):
        text = errors.of_connect(cause) if isinstance(cause, OSError) else "it can't be reached"
        return text, "Start Redis, or correct host and port in REDIS_URL; is the name known here?"
    return "it refuses what we ask", "Needed is Redis 6 or newer, or Valkey, with scripts (EVALSHA) allowed."


def _write(client: Client) -> None:
    """Write as the service does when it connects: run the limiter's script on a cell that expires in a millisecond."""
    script = Path(gcra.__file__).with_name("gcra.lua").read_text(encoding="utf-8")
    client.eval(script, 2, REVISION_KEY, PROBE_KEY, "1", "1000000", "")


def _snapshots(client: Client) -> bool | None:
    try:
        settings: dict[str, str] = client.config_get("save")
    except redis.RedisError:  # managed services refuse CONFIG
        return None
    return bool(settings.get("save"))


def _uses(client: Client) -> Uses | None:
    try:
        settings: dict[str, str] = client.config_get("lfu-*")
        return Uses(int(settings["lfu-log-factor"]), int(settings["lfu-decay-time"]))
    except (redis.RedisError, KeyError, ValueError):
        return None


def _seconds_per_request(config: Config) -> int:
    """Return the seconds until the next request of a client at its limit, rounded up."""
    return -(-config.rate_limit_window // config.rate_limit_requests) if config.rate_limit_requests else 0


def _skew(client: Client, now: Callable[[], float]) -> tuple[float, float]:
    before = now()
    seconds, microseconds = client.time()
    after = now()
    return seconds + microseconds / 1e6 - (before + after) / 2, (after - before) / 2


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_048_576:.1f} MiB"
