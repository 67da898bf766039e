"""One worker: builds the concrete parts, starts and stops them.

This module only connects the parts and orders how they start and stop:
start: store (waits at most one time-out) -> socket -> ready.
SIGTERM: not ready, answers say ``close`` -> DRAIN_DELAY -> socket closed -> last answers -> store -> exit.
"""

import asyncio
import contextlib
import logging
import random
import resource
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, Final

import uvloop

from arsenal_fast import __version__
from arsenal_fast.api import history, telemetry
from arsenal_fast.api.admission import OnFailure
from arsenal_fast.api.compose import compose
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
from arsenal_fast.observability import log_writer, logs, runtime_metrics
from arsenal_fast.observability.access_log import AccessLog
from arsenal_fast.observability.multiprocess import SharedCounters
from arsenal_fast.oidc.fetch import KeyFetcher
from arsenal_fast.oidc.rules import Rules
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.server import heap_trim, listen_socket, tls_context
from arsenal_fast.server.bounds import Bounds
from arsenal_fast.server.listener import SPARE_DESCRIPTORS, Listener
from arsenal_fast.server.process_figures import process_figures, resident_bytes
from arsenal_fast.server.state import time_limits
from arsenal_fast.server.supervisor import HURRY
from arsenal_fast.stores.memory import MemoryBackend
from arsenal_fast.stores.redis.backend import RedisBackend
from arsenal_fast.stores.redis.cluster import ClusterBackend
from arsenal_fast.stores.redis.url import parse_url
from arsenal_fast.tokens.keys import Keys

log = logging.getLogger(__name__)

PUBLISH: Final = 0.5
"""Seconds between a worker's snapshots for the others: how old their share of a scrape may be."""

LOOK: Final = 5.0
"""Seconds between polls of Redis's INFO."""

PRUNE: Final = 3600.0
"""Seconds between prunings of events older than LEDGER_RETENTION_DAYS."""

FOLLOW: Final = 2.0
"""Seconds between readings of the ledger's amendments of service tokens, while no Redis tells of them. With the
time-out of the ledger a withdrawal is in force on every replica within 3 s."""

TEND: Final = 60.0
"""Seconds between writings of which service tokens were used."""

FILE_CHECK: Final = 5.0
"""Seconds between looks at the files of limits and rules."""

TLS_CHECK: Final = 10.0
"""Seconds between checks of the certificate files; cert-manager renews weeks ahead."""


def serve(config: Config, slot: int, counters: SharedCounters) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status.

    Raises ConfigurationError for what can't be used, OSError where the port can't be bound.
    """
    # Before the loop: a configuration fault is reported before anything has started.
    tls = tls_context.make_context(config)
    listening = listen_socket.bind(config, shared=config.workers > 1)

    async def run() -> None:
        await _Worker(config, slot, counters, tls).run(listening)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    # 0 also where a stuck peer was cut off: that is its failure, not ours.
    return 0


def rehearse(config: Config) -> socket.socket | None:
    """Raise the start errors of :func:`serve` once, before the workers are forked.

    Returns what keeps other services of several workers from the same address until they listen (``listen_socket``).
    """
    tls_context.make_context(config)
    reservation = listen_socket.reserve(config)
    for bound in listen_socket.bind(config, shared=False):
        bound.close()
    return reservation


class _Worker:
    """Holds the parts of a running worker; made in its event loop."""

    def __init__(self, config: Config, slot: int, counters: SharedCounters, tls: ssl.SSLContext | None) -> None:
        self._config, self._slot, self._counters, self._tls = config, slot, counters, tls
        self._tls_seen = tls_context.modified(config)
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        """When set, DRAIN_DELAY is cut short."""
        local = MemoryBackend(
            now_us=lambda: time.monotonic_ns() // 1000,
            now_ms=lambda: time.time_ns() // 1_000_000,
            cells=config.shares.cells,
            identities=config.shares.identities,
        )
        self._redis = None if config.embedded else _redis(config)
        self._backend = self._redis or local
        self._ledger = _ledger(config)
        self._access_log: AccessLog | None = None
        if config.access_log != "off":
            lines = logs.formatter(config.log_format, config.secrets())
            self._access_log = AccessLog(config.access_log, lines, log_writer.STDERR.put)
        self._services = Services(
            settings=_settings(config),
            backend=self._backend,
            local=local,
            keys=make_keys(config),
            ledger=self._ledger,
            call_soon=self._loop.call_soon,
            monotonic=time.monotonic,
            now=time.time,
            snapshots=self._others,
            access_log=self._access_log,
            fetch_keys=KeyFetcher(self._loop),
            gate_bounds=_gate_bounds(config.shares),
        )
        self._files = _watched(config, self._services)
        app = compose(self._services, Limits(), counters if counters.slots > 1 else None)
        self._listener = Listener(
            app,
            limits=Limits(),
            time_limits=time_limits(
                header=config.header_timeout,
                body=config.body_timeout,
                keep_alive=config.keep_alive_timeout,
                write=config.write_timeout,
            ),
            max_connections=_max_connections(config),
            bounds=_bounds(config.shares),
        )

    async def run(self, listening: list[socket.socket]) -> None:
        """Serve until a stop signal."""
        self._handle_signals()
        self._look_at_files()  # this worker may have been forked long after the supervisor had read them
        metrics = self._services.metrics
        metrics.process = process_figures
        metrics.certificate_expires = tls_context.certificate_expires(self._config)
        # The counts of a predecessor in this slot are continued.
        inherited = self._counters.read(self._slot)
        if inherited:
            metrics.add(inherited, gauges=False)
            metrics.worker_restarts += 1
        await self._backend.start()
        if self._ledger is not None:
            await self._ledger.start()
            self._ledger.on_change = partial(_ledger_changed, self._services, self._ledger)
            self._ledger.on_change()
        await self._listener.start(listening, self._tls)
        self._services.ready = True
        runtime_metrics.tune_garbage_collector()
        log.info("serving on %s port %d", self._config.host, self._config.port)
        if self._slot == 0 and not inherited:
            self._log_welcome()
        unwatch = runtime_metrics.watch_garbage_collector(metrics.gc_pause)
        chores = [self._loop.create_task(chore) for chore in self._chores()]
        await self._stop.wait()
        await self._drain()
        for chore in chores:
            chore.cancel()
        unwatch()
        await self._close()
        _ignore_signals(self._loop)
        log.info("stopped")

    def _log_welcome(self) -> None:
        """Log where the service is, and what a client may do."""
        config = self._config
        limit = "no limit"
        if config.limits_file is not None:
            limit = f"limits by {config.limits_file}"
        elif config.rate_limit_requests:
            limit = f"{config.rate_limit_requests} requests in {config.rate_limit_window} s for each client"
        log.info("open %s (documentation: %s/api/docs); %s", config.api_base_url, config.api_base_url, limit)

    def _handle_signals(self) -> None:
        handle = self._loop.add_signal_handler
        handle(signal.SIGHUP, self._reload)
        if self._config.workers == 1:
            handle(signal.SIGTERM, self._stop_or_hurry)
            handle(signal.SIGINT, self._stop_or_hurry)
        else:
            # A signal to the process group comes twice, from its sender and from the supervisor: only the
            # supervisor knows whether a second one was sent.
            handle(HURRY, self._hurry.set)
            handle(signal.SIGTERM, self._stop.set)

    def _stop_or_hurry(self) -> None:
        """Stop; a second signal ends the wait."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _chores(self) -> Iterator[Coroutine[None, None, None]]:
        """Yield what is done from time to time; what must not be added up over the workers, in the first only."""
        config, first = self._config, self._slot == 0
        yield runtime_metrics.probe_event_loop(self._services.metrics.event_loop_lag)
        yield runtime_metrics.collect_new_objects()
        if trim := heap_trim.trimmer(resident_bytes, time.process_time):
            yield _every(heap_trim.INTERVAL_S, trim)
        yield _every(history.LOOK_S, partial(telemetry.look, self._services))
        if self._counters.slots > 1:
            yield _every(PUBLISH, self._write_snapshot)
        if self._redis is not None and first:
            yield _every(LOOK, self._redis.info.poll)
        if self._ledger is not None and (config.ledger_retention_days or config.ledger_max_rows) and first:
            yield _every(PRUNE, partial(_prune, self._ledger, config.ledger_retention_days))
        yield _every(TEND, self._services.service_tokens.tend)
        if self._ledger is not None:
            yield _every(FOLLOW, partial(_follow_ledger, self._services))
        if self._files:
            yield _every(FILE_CHECK, self._look_at_files)
        if config.tls:
            yield _every(TLS_CHECK, self._reload_changed_tls)

    async def _drain(self) -> None:
        config = self._config
        log.info("draining")
        deadline = self._loop.time() + config.drain_seconds
        self._services.draining = True
        self._listener.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(config.drain_delay, config.drain_seconds)):
                await self._hurry.wait()
        if not await self._listener.stop(deadline):
            log.warning("some connections did not end within DRAIN_SECONDS and were cut off")

    async def _close(self) -> None:
        self._services.service_tokens.tend()
        if self._ledger is not None and (left := await self._ledger.close()):
            log.error("%d rows could not be written to the ledger before the end", left)
        await self._backend.close()
        self._write_snapshot()
        if self._access_log is not None:
            self._access_log.close()

    # The counts of all workers.

    def _others(self) -> Iterable[bytes]:
        """Return the newest snapshots of the other workers.

        Asked for at a scrape: what this worker is about to report must first be on show to the others, or the
        next scrape, answered by another worker, would report less and the sums would go back.
        """
        self._write_snapshot()
        return [self._counters.read(slot) for slot in range(self._counters.slots) if slot != self._slot]

    def _write_snapshot(self) -> None:
        try:
            self._counters.write(self._slot, telemetry.snapshot(self._services))
        except ValueError as error:
            log.error("this worker's counts can't be shared: %s", error)

    # Files that are read again.

    def _reload(self) -> None:
        self._reload_tls()
        for file in self._files:
            file.read()

    def _look_at_files(self) -> None:
        for file in self._files:
            file.look()

    # Certificates.

    def _reload_changed_tls(self) -> None:
        if tls_context.modified(self._config) != self._tls_seen:
            self._reload_tls()

    def _reload_tls(self) -> None:
        """Use renewed certificate files for new connections; keep the old pair if they are invalid."""
        if self._tls is None:
            return
        config = self._config
        self._tls_seen = tls_context.modified(config)
        try:
            # A context of its own first: loading a bad pair into the one in use would leave it half changed.
            tls_context.make_context(config)
            tls_context.load_pair(self._tls, config)
        except ConfigurationError as error:
            log.error("the renewed certificate can't be used, the old one stays: %s", error)
        else:
            self._services.metrics.certificate_expires = tls_context.certificate_expires(config)
            log.info("the certificate has been read again")


async def _every(seconds: float, act: Callable[[], object]) -> None:
    """Act now and each so many seconds, until cancelled."""
    while True:
        act()
        await asyncio.sleep(seconds)


def _prune(ledger: Ledger, days: int) -> None:
    """Remove old events; without a retention only the records of identities whose events were trimmed."""
    ledger.prune(int(time.time() * 1000) - days * 86_400_000 if days else 0)


def _ignore_signals(loop: asyncio.AbstractEventLoop) -> None:
    """Ignore signals in a process that has stopped and only flushes its log: the exit status would be a failure."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, HURRY)
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # without its handler a signal would end the process
    for number in numbers:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _bounds(shares: Shares) -> Bounds:
    """Return the bounds of the connections: one client gets at most half of the total, and room for one body."""
    received = max(shares.unfinished, 2 * Limits().body)
    return Bounds(
        received=received, received_of_client=min(received // 2, Bounds().received_of_client), unsent=shares.unsent
    )


def _gate_bounds(shares: Shares) -> GateBounds:
    """Return the bounds of the rows in work: one client gets at most half of them."""
    return GateBounds(rows=shares.rows_in_flight, rows_of_client=shares.rows_in_flight // 2)


def _settings(config: Config) -> Settings:
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
        metrics_by_token=config.metrics_access == "token",
        workers=config.workers,
        oidc_rules=config.oidc_issuers,
        token_window=config.rate_limit_window,
        policies=config.limits_file,
        ignored_parameters=config.ignored_parameters,
        protected_prefixes=frozenset(prefix.lower() for prefix in config.protected_prefixes),
    )


def _watched(config: Config, services: Services) -> list[WatchedFile[Any]]:
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


def _ledger_changed(services: Services, ledger: Ledger) -> None:
    """Log the ledger's state, and read its epochs, which the shared store may have lost."""
    if ledger.healthy:
        log.info("the ledger is healthy")
        ledger.epochs(lambda epochs: services.identities.learn_epochs(epochs or {}))
        services.identities.sync.follow_ledger()
    else:
        log.warning("the ledger is %s: %s", ledger.status, ledger.fault or "no answer from it yet")


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


def _redis(config: Config) -> RedisBackend | ClusterBackend:
    url = config.redis_url.reveal()
    try:
        backend = ClusterBackend if parse_url(url).nodes else RedisBackend
        return backend(url, timeout=config.redis_timeout_ms / 1000, jitter=random.random)
    except ValueError as error:
        raise ConfigurationError([f"REDIS_URL is refused: {error}"]) from None


def _follow_ledger(services: Services) -> None:
    """Learn withdrawals of service tokens from the ledger while no shared store tells of them."""
    backend = services.backend
    if isinstance(backend, MemoryBackend) or not backend.healthy:
        services.identities.sync.follow_ledger()


def _ledger(config: Config) -> Ledger | None:
    url = config.database_url.reveal()
    if url == NO_LEDGER:
        return None
    try:
        return Ledger(url, max_rows=config.ledger_max_rows, capacity=config.shares.ledger_rows)
    except ValueError as error:
        raise ConfigurationError([f"DATABASE_URL: {error}"]) from None


def _max_connections(config: Config) -> int:
    """Return the bound on connections: as configured, and within the limit of file descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (sys.maxsize if limit == resource.RLIM_INFINITY else limit for limit in limits)
    wanted = min(config.max_connections + SPARE_DESCRIPTORS * 2, hard)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limits[1]))
            soft = wanted
    room = soft - SPARE_DESCRIPTORS * 2 if soft > SPARE_DESCRIPTORS * 4 else soft // 2
    bound = min(config.max_connections, max(1, room))
    if bound < config.max_connections:
        log.warning(
            "MAX_CONNECTIONS is %d, but the limit of open files (%d) allows %d connections",
            config.max_connections,
            soft,
            bound,
        )
    return bound
