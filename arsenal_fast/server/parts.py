"""Makes the parts of one worker from its configuration: settings, keys, stores, ledger, log and listener."""

import contextlib
import logging
import random
import resource
import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any, Final

from arsenal_fast import __version__
from arsenal_fast.api import routes
from arsenal_fast.api.admission import OnFailure
from arsenal_fast.api.app import App
from arsenal_fast.api.compose import management
from arsenal_fast.api.gate import GateBounds
from arsenal_fast.api.services import Services
from arsenal_fast.api.settings import Settings
from arsenal_fast.config import parsers
from arsenal_fast.config.load import Config
from arsenal_fast.config.watched import WatchedFile
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.http.limits import Limits
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.ledger.url import NONE as NO_LEDGER
from arsenal_fast.memory_budget import Shares
from arsenal_fast.observability import log_writer, logs
from arsenal_fast.observability.access_log import AccessLog
from arsenal_fast.observability.tracing import Tracer
from arsenal_fast.oidc.rules import Rules
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server.bounds import Bounds
from arsenal_fast.server.listener import SPARE_DESCRIPTORS, Listener
from arsenal_fast.server.state import time_limits
from arsenal_fast.stores.memory import MemoryBackend
from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.cluster import ClusterBackend
from arsenal_fast.stores.redis.url import parse_url
from arsenal_fast.tokens.keys import Keys

log = logging.getLogger(__name__)

LIMITS: Final = Limits()
"""Of request messages."""


MANAGEMENT_CONNECTIONS: Final = 64
"""Connections of the management listener, which those of the API never take: probes, scrapers, some browsers."""

MANAGEMENT_BOUNDS: Final = Bounds(
    received=2 * LIMITS.body, received_of_client=LIMITS.body, unsent=MANAGEMENT_CONNECTIONS << 16
)


def memory(config: Config) -> MemoryBackend:
    """Return the store in the worker's own memory."""
    return MemoryBackend(
        now_us=lambda: time.monotonic_ns() // 1000,
        now_ms=lambda: time.time_ns() // 1_000_000,
        cells=config.shares.cells,
        identities=config.shares.identities,
    )


def access_log(config: Config) -> AccessLog | None:
    """Return the access log; None where it is off."""
    if config.access_log == "off":
        return None
    return AccessLog(config.access_log, logs.formatter(config.log_format, config.secrets()), log_writer.STDERR.put)


def addresses(config: Config) -> list[Config]:
    """Return the configuration as it is, and with MANAGEMENT_PORT as its port where that is set."""
    return [config, replace(config, port=config.management_port)] if config.management_port else [config]


def tracer(config: Config, access_log: AccessLog | None) -> Tracer | None:
    """Return what makes spans, and calls the access log; None where there are none."""
    if not config.traces:
        return None
    return Tracer(
        access_log, base_url=config.api_base_url, route_of=routes.label_of, mask=logs.masker(config.secrets())
    )


def listeners(config: Config, app: App) -> list[Listener]:
    """Return the listener of the API, and that of MANAGEMENT_PORT where it is set."""
    make = partial(
        Listener,
        limits=LIMITS,
        time_limits=time_limits(
            header=config.header_timeout,
            body=config.body_timeout,
            keep_alive=config.keep_alive_timeout,
            write=config.write_timeout,
        ),
    )
    made = [make(app, max_connections=max_connections(config), bounds=bounds(config.shares))]
    if config.management_port:
        made.append(make(management(app), max_connections=MANAGEMENT_CONNECTIONS, bounds=MANAGEMENT_BOUNDS, main=False))
    return made


def bounds(shares: Shares) -> Bounds:
    """Return the bounds of the connections: one client gets at most half of the total, and room for one body."""
    received = max(shares.unfinished, 2 * Limits().body)
    return Bounds(
        received=received, received_of_client=min(received // 2, Bounds().received_of_client), unsent=shares.unsent
    )


def gate_bounds(shares: Shares) -> GateBounds:
    """Return the bounds of the rows in work: one client gets at most half of them."""
    return GateBounds(rows=shares.rows_in_flight, rows_of_client=shares.rows_in_flight // 2)


def settings(config: Config) -> Settings:
    """Return the settings of the application."""
    limit = config.rate_limit_requests
    return Settings(
        version=f"v{__version__}",
        domain=config.identity_domain,
        base_url=config.api_base_url,
        quota=Quota(limit, config.rate_limit_window) if limit else None,
        on_store_failure=OnFailure(config.rate_limit_on_redis_failure),
        origins=config.cors_origin,
        trusted_proxies=config.trusted_proxies,
        cache_size=config.identity_cache_size,
        shares=config.shares,
        access_log=config.access_log,
        traces=config.traces,
        management=config.management_port is not None,
        metrics_by_token=config.metrics_access == "token",
        workers=config.workers,
        oidc_rules=config.oidc_issuers,
        token_window=config.rate_limit_window,
        policies=config.limits_file,
        ignored_parameters=config.ignored_parameters,
        protected_prefixes=frozenset(prefix.lower() for prefix in config.protected_prefixes),
    )


def watched(config: Config, services: Services) -> list[WatchedFile[Any]]:
    """Return the files of limits and rules, which come into force in these services."""
    files: list[WatchedFile[Any]] = []
    if config.limits_file is not None and services.limits is not None:
        path, use = config.limits_file.path, services.limits.use
        files.append(WatchedFile("LIMITS_FILE", path, parsers.limits_file, use, services.note_file))
    if config.oidc_issuers is not None and config.oidc_issuers.path and services.exchange is not None:
        path = config.oidc_issuers.path
        files.append(WatchedFile("OIDC_ISSUERS", path, _rules_of, services.exchange.use, services.note_file))
    return files


def _rules_of(path: str) -> Rules:
    return parsers.oidc_rules(f"file:{path}")


def make_keys(config: Config) -> Keys:
    """Return the keys that sign and verify; raises ConfigurationError where there is no secret."""
    if config.jwt_secret is None:
        raise ConfigurationError(["JWT_SECRET must be set."])
    keys = Keys(
        config.jwt_secret,
        issuer=config.api_base_url,
        previous=config.jwt_secret_previous,
        private_key_pem=config.jwt_private_key,
    )
    keys.prepare()
    return keys


def redis(config: Config) -> RedisBackend | ClusterBackend | None:
    """Return the shared store; None where the state is in the process. Raises ConfigurationError."""
    if config.embedded:
        return None
    url = config.redis_url.reveal()
    try:
        backend = ClusterBackend if parse_url(url).nodes else RedisBackend
        return backend(url, timeout=config.redis_timeout_ms / 1000, jitter=random.random)
    except ValueError as error:
        raise ConfigurationError([f"REDIS_URL is refused: {error}"]) from None


def ledger(config: Config) -> Ledger | None:
    """Return the ledger, if there is one; raises ConfigurationError."""
    url = config.database_url.reveal()
    if url == NO_LEDGER:
        return None
    try:
        return Ledger(url, max_rows=config.ledger_max_rows, capacity=config.shares.ledger_rows)
    except ValueError as error:
        raise ConfigurationError([f"DATABASE_URL: {error}"]) from None


def max_connections(config: Config) -> int:
    """Return the bound on connections: as configured, and within the limit of file descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in limits)
    spare = SPARE_DESCRIPTORS * 2 + (MANAGEMENT_CONNECTIONS if config.management_port else 0)
    wanted = min(config.max_connections + spare, hard)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limits[1]))
            soft = wanted
    room = soft - spare if soft > spare * 2 else soft // 2
    bound = min(config.max_connections, max(1, room))
    if bound < config.max_connections:
        log.warning(
            "MAX_CONNECTIONS is %d, but the limit of open files (%d) allows %d connections",
            config.max_connections,
            soft,
            bound,
        )
    return bound
