"""One worker: the place where the concrete parts meet.

Event loop, stores, service, socket, signals. Nothing is decided here but who gets what, and in which order
things start and stop:

start: store (never waited for longer than one time-out) -> socket -> ready.
SIGTERM: not ready, answers say ``close`` -> DRAIN_DELAY -> socket closed -> last answers -> store -> exit.
"""

import asyncio
import contextlib
import gc
import logging
import os
import random
import resource
import signal
import socket
import ssl
import time
from collections.abc import Iterable
from functools import partial
from typing import Final

import uvloop

from arsenal_fast import __version__, access_log, certificates, logs, pauses
from arsenal_fast.access_log import AccessLog, LineWriter
from arsenal_fast.config import Config
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.http.limits import Limits
from arsenal_fast.identity.runs import NODES
from arsenal_fast.jwt_keys import Keys
from arsenal_fast.ledger.address import NONE as NO_LEDGER
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.limiting.quota import Quota
from arsenal_fast.memory import MemoryBackend
from arsenal_fast.metrics import ProcessFigures
from arsenal_fast.redis.backend import RedisBackend
from arsenal_fast.server.bounds import Bounds
from arsenal_fast.server.listener import SPARE_DESCRIPTORS, Listener, Timeouts
from arsenal_fast.service import telemetry
from arsenal_fast.service.admission import OnFailure
from arsenal_fast.service.app import Service
from arsenal_fast.service.settings import Settings
from arsenal_fast.shared_counters import SharedCounters

log = logging.getLogger(__name__)

PUBLISH: Final = 0.5
"""Seconds between a worker's snapshots for the others: how old their share of a scrape may be."""

LOOK: Final = 5.0
"""Seconds between looks at how Redis itself is."""

PRUNE: Final = 3600.0
"""Seconds between looks for events that are older than LEDGER_RETENTION_DAYS."""

TLS_CHECK: Final = 10.0
"""Seconds between looks at the certificate files; cert-manager renews weeks ahead."""

GC_THRESHOLDS: Final = (5_000, 1_000, 100)
"""The hot path makes no cycles. A young collection every 5,000 net new objects stops the loop for 4 ms at the most
while identities are issued, one every 50,000 for 44 ms, at the same cost in all (``bench/experiments/garbage.py``)."""


def serve(config: Config, slot: int, counters: SharedCounters) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status.

    Raises ConfigurationError for what can't be used, OSError where the port can't be bound.
    """
    # Before the loop: a fault in it is the operator's, and told before anything has started.
    tls = tls_context(config)
    listening = _bind(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Worker(config, slot, counters, listening, tls).run())


def rehearse(config: Config) -> None:
    """Raise what :func:`serve` would raise at its start; so that who forks workers tells it once, not each of them."""
    tls_context(config)
    _bind(config).close()


class _Worker:
    """Holds the parts while they live."""

    def __init__(
        self,
        config: Config,
        slot: int,
        counters: SharedCounters,
        listening: socket.socket,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._config = config
        self._slot = slot
        self._counters = counters
        self._listening = listening
        self._tls = tls
        self._tls_seen = _modified(config)
        self._stop = asyncio.Event()
        self._bounds = Bounds()

    async def run(self) -> int:
        config = self._config
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        if config.workers == 1:
            # Of several, each would see Ctrl-C twice: from the terminal, and as the supervisor's SIGTERM.
            loop.add_signal_handler(signal.SIGINT, self._stop.set)
        backend: MemoryBackend | RedisBackend
        spare = _memory()
        if config.embedded:
            backend = spare
        else:
            backend = RedisBackend(
                config.redis_url.reveal(), timeout=config.redis_timeout_ms / 1000, jitter=random.random
            )
        ledger = _ledger(config)
        access = _access_log(config)
        service = Service(
            _settings(config),
            backend,
            spare,
            make_keys(config),
            ledger,
            call_soon=loop.call_soon,
            monotonic=time.monotonic,
            now=time.time,
            snapshots=lambda: self._others(service),
            access_log=access,
            gate_bounds=self._bounds.gate,
        )
        loop.add_signal_handler(signal.SIGHUP, self._reload_tls, service)
        service.metrics.process = _process_figures
        service.metrics.certificate_expires = _certificate_expires(config)
        # A predecessor in this slot has counted; what it counted goes on.
        inherited = self._counters.read(self._slot)
        if inherited:
            service.metrics.add(inherited, gauges=False)
            service.metrics.worker_restarts += 1
        listener = Listener(
            service,
            limits=Limits(),
            timeouts=Timeouts(
                header=config.header_timeout,
                body=config.body_timeout,
                keep_alive=config.keep_alive_timeout,
                write=config.write_timeout,
            ),
            max_connections=_max_connections(config),
            bounds=self._bounds,
        )
        await backend.start()
        if ledger is not None:
            await ledger.start()
            ledger.on_change = partial(_ledger_changed, service, ledger)
            _ledger_changed(service, ledger)
        await listener.start(self._listening, self._tls)
        service.ready = True
        _tune_garbage_collection()
        log.info("serving on %s port %d", config.host, self._listening.getsockname()[1])
        unwatch = pauses.watch_garbage_collector(service.metrics.gc_pause)
        chores = [
            loop.create_task(self._publish(service)),
            loop.create_task(pauses.probe_event_loop(service.metrics.event_loop_lag)),
        ]
        if isinstance(backend, RedisBackend) and self._slot == 0:
            chores.append(loop.create_task(_look_at(backend)))
        if ledger is not None and config.ledger_retention_days and self._slot == 0:
            chores.append(loop.create_task(self._prune(ledger)))
        if config.tls:
            chores.append(loop.create_task(self._watch_tls(service)))
        await self._stop.wait()
        await self._drain(service, listener)
        for chore in chores:
            chore.cancel()
        unwatch()
        if ledger is not None and (left := await ledger.close()):
            log.error("%d rows could not be written to the ledger before the end", left)
        await backend.close()
        self._write_snapshot(service)
        if access is not None:
            access.close()
        log.info("stopped")
        # Also where a peer had to be cut off: being stuck is its failure, not ours.
        return 0

    async def _drain(self, service: Service, listener: Listener) -> None:
        config = self._config
        loop = asyncio.get_running_loop()
        log.info("draining")
        deadline = loop.time() + config.drain_seconds
        service.draining = True
        listener.drain()
        if config.drain_delay:
            # A second signal ends the wait: the operator means it.
            self._stop.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(config.drain_delay, config.drain_seconds)):
                    await self._stop.wait()
        clean = await listener.stop(deadline)
        if not clean:
            log.warning("some connections did not end within DRAIN_SECONDS and were cut off")

    # The counts of all workers.

    def _others(self, service: Service) -> Iterable[bytes]:
        """Return the newest snapshots of the other workers.

        Asked for at a scrape: what this worker is about to report must first be on show to the others, or the
        next scrape, answered by another worker, would report less and the sums would go back.
        """
        self._write_snapshot(service)
        return [self._counters.read(slot) for slot in range(self._counters.slots) if slot != self._slot]

    async def _publish(self, service: Service) -> None:
        if self._counters.slots == 1:
            return
        while True:
            self._write_snapshot(service)
            await asyncio.sleep(PUBLISH)

    def _write_snapshot(self, service: Service) -> None:
        try:
            self._counters.write(self._slot, telemetry.snapshot(service))
        except ValueError as error:
            log.error("this worker's counts can't be shared: %s", error)

    async def _prune(self, ledger: Ledger) -> None:
        while True:
            ledger.prune(int(time.time() * 1000) - self._config.ledger_retention_days * 86_400_000)
            await asyncio.sleep(PRUNE)

    # Certificates.

    async def _watch_tls(self, service: Service) -> None:
        while True:
            await asyncio.sleep(TLS_CHECK)
            if _modified(self._config) != self._tls_seen:
                self._reload_tls(service)

    def _reload_tls(self, service: Service) -> None:
        """Use renewed certificate files for the connections to come; keep the old pair where they are bad."""
        if self._tls is None:
            return
        config = self._config
        seen = _modified(config)
        try:
            # A context of its own first: loading a bad pair into the one in use would leave it half changed.
            tls_context(config)
            self._tls.load_cert_chain(config.tls_cert_file, config.tls_key_file, _no_password)
        except (ConfigurationError, OSError) as error:
            log.error("the renewed certificate can't be used, the old one stays: %s", error)
        else:
            service.metrics.certificate_expires = _certificate_expires(config)
            log.info("the certificate has been read again")
        self._tls_seen = seen


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
        access_log=config.access_log,
        workers=config.workers,
        protected_prefixes=frozenset(prefix.lower() for prefix in config.protected_prefixes),
        # Drawn, not configured: two workers with one number still can't hand out one run twice, for a drawn
        # run is issued as new or not at all.
        node=int.from_bytes(os.urandom(2)) % NODES,
    )


def _ledger_changed(service: Service, ledger: Ledger) -> None:
    """Say so; and learn what was revoked by epochs, which holds also where the shared store has forgotten it."""
    if ledger.healthy:
        log.info("the ledger is healthy")
        ledger.epochs(lambda epochs: service.directory.learn_epochs(epochs or {}))
    else:
        log.warning("the ledger is %s: %s", ledger.status, ledger.fault or "no word from it yet")


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


async def _look_at(backend: RedisBackend) -> None:
    """Only one worker does: what Redis says of itself must not be added up."""
    while True:
        await asyncio.sleep(LOOK)
        backend.vitals.look()


def _ledger(config: Config) -> Ledger | None:
    url = config.database_url.reveal()
    if url == NO_LEDGER:
        return None
    try:
        return Ledger(url)
    except ValueError as error:
        raise ConfigurationError([f"DATABASE_URL: {error}"]) from None


def _memory() -> MemoryBackend:
    return MemoryBackend(now_us=lambda: time.monotonic_ns() // 1000, now_ms=lambda: time.time_ns() // 1_000_000)


_STARTED: Final = time.time()
_PAGE: Final = resource.getpagesize()


def _process_figures() -> ProcessFigures:
    collections = [generation["collections"] for generation in gc.get_stats()]
    resident = descriptors = 0
    with contextlib.suppress(OSError, ValueError, IndexError):  # /proc is Linux's
        with open("/proc/self/statm", "rb") as file:
            resident = int(file.read().split()[1]) * _PAGE
        descriptors = len(os.listdir("/proc/self/fd"))
    return ProcessFigures(
        cpu_seconds=time.process_time(),
        resident_bytes=resident,
        open_descriptors=descriptors,
        started=_STARTED,
        collections=(collections[0], collections[1], collections[2]),
    )


def _access_log(config: Config) -> AccessLog | None:
    if config.access_log == "off":
        return None
    return AccessLog(config.access_log, logs.formatter(config), LineWriter(access_log.to_stderr))


def _bind(config: Config) -> socket.socket:
    """Return a bound socket; it does not listen before the service is ready to answer."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if config.workers > 1:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # "::" serves IPv4 too; such a peer is its IPv4 address to the limiter.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    return listening


class _EncryptedKeyError(Exception):
    """OpenSSL wants a password for the key."""


def _no_password() -> bytes:
    """Raise, where OpenSSL would ask on the terminal and the event loop would stand still."""
    raise _EncryptedKeyError


def tls_context(config: Config) -> ssl.SSLContext | None:
    """Return what TLS is spoken with, None without it; raises ConfigurationError where the pair can't be used."""
    if not config.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9325 4.2: of TLS 1.2 only what has forward secrecy and authenticated encryption.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.tls_cert_file, config.tls_key_file, _no_password)
    except _EncryptedKeyError:
        raise ConfigurationError(["TLS_KEY_FILE is encrypted and nobody can type its password: decrypt it."]) from None
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "unreadable"
        raise ConfigurationError([f"TLS_CERT_FILE and TLS_KEY_FILE can't be used together: {reason}."]) from None
    return context


def _certificate_expires(config: Config) -> float:
    """Return when the certificate ends, for the metric; 0 without TLS, or where the file tells no such moment."""
    if not config.tls:
        return 0.0
    try:
        return certificates.validity(config.tls_cert_file).not_after
    except (OSError, ValueError) as error:
        log.warning("when the certificate ends is not known: %s", error)
        return 0.0


def _modified(config: Config) -> tuple[int, ...]:
    """Return the modification times of the certificate files, 0 for one that is not there now."""
    times = []
    for path in (config.tls_cert_file, config.tls_key_file):
        try:
            times.append(os.stat(path).st_mtime_ns if path else 0)
        except OSError:
            times.append(0)
    return tuple(times)


def _max_connections(config: Config) -> int:
    """Return the bound on connections: as configured, and within the descriptors that we may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.max_connections + SPARE_DESCRIPTORS * 2
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    bound = config.max_connections
    if soft != resource.RLIM_INFINITY:
        bound = min(bound, max(1, soft - SPARE_DESCRIPTORS * 2 if soft > SPARE_DESCRIPTORS * 4 else soft // 2))
    if bound < config.max_connections:
        log.warning(
            "MAX_CONNECTIONS is %d, but the limit of open files (%d) allows %d connections",
            config.max_connections,
            soft,
            bound,
        )
    return bound


def _tune_garbage_collection() -> None:
    """What was made at the start lives for ever: don't look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
