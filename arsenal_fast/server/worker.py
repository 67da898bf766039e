"""One worker: connects its parts, starts and stops them.

The order of both:
start: store (waits at most one time-out) -> socket -> ready.
SIGTERM: not ready, answers say ``close`` -> DRAIN_DELAY -> socket closed -> last answers -> store -> exit.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Final

import uvloop

from arsenal_fast.api import history, telemetry
from arsenal_fast.api.compose import compose
from arsenal_fast.api.services import Services
from arsenal_fast.config.load import Config
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.ledger.backend import Ledger
from arsenal_fast.observability import runtime_metrics, tracing
from arsenal_fast.observability.multiprocess import SharedCounters
from arsenal_fast.oidc.fetch import KeyFetcher
from arsenal_fast.server import heap_trim, listen_socket, parts, tls_context
from arsenal_fast.server.process_figures import process_figures, resident_bytes
from arsenal_fast.server.supervisor import HURRY
from arsenal_fast.server.ticket_keys import TicketKeys
from arsenal_fast.stores.memory import MemoryBackend

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


def serve(config: Config, slot: int, counters: SharedCounters, ticket_keys: TicketKeys | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. ``ticket_keys``: those that all workers share.

    Raises ConfigurationError for what can't be used, OSError where the port can't be bound.
    """
    # Before the loop: a configuration fault is reported before anything has started.
    tls = tls_context.make_context(config)
    keys = ticket_keys or TicketKeys(time.monotonic)
    listening = [listen_socket.bind(address, shared=config.workers > 1) for address in parts.addresses(config)]

    async def run() -> None:
        await _Worker(config, slot, counters, tls, keys).run(listening)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    # 0 also where a stuck peer was cut off: that is its failure, not ours.
    return 0


def rehearse(config: Config) -> contextlib.ExitStack:
    """Raise the start errors of :func:`serve` once, before the workers are forked.

    Returns what keeps other services of several workers from the same addresses until it is closed (``listen_socket``).
    """
    tls_context.make_context(config)
    if config.traces:
        tracing.load_sdk()
    with contextlib.ExitStack() as reservations:
        for address in parts.addresses(config):
            if (reservation := listen_socket.reserve(address)) is not None:
                reservations.enter_context(reservation)
            for bound in listen_socket.bind(address, shared=False):
                bound.close()
        return reservations.pop_all()


class _Worker:
    """Holds the parts of a running worker; made in its event loop."""

    def __init__(
        self, config: Config, slot: int, counters: SharedCounters, tls: ssl.SSLContext | None, ticket_keys: TicketKeys
    ) -> None:
        self._config, self._slot, self._counters, self._tls = config, slot, counters, tls
        self._ticket_keys = ticket_keys
        self._tls_seen = tls_context.modified(config)
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        """When set, DRAIN_DELAY is cut short."""
        local = parts.memory(config)
        self._redis = parts.redis(config)
        self._backend = self._redis or local
        self._ledger = parts.ledger(config)
        self._access_log = parts.access_log(config)
        self._tracer = parts.tracer(config, self._access_log)
        self._services = Services(
            settings=parts.settings(config),
            backend=self._backend,
            local=local,
            keys=parts.make_keys(config),
            ledger=self._ledger,
            call_soon=self._loop.call_soon,
            monotonic=time.monotonic,
            now=time.time,
            snapshots=self._others,
            access_log=self._tracer or self._access_log,
            fetch_keys=KeyFetcher(self._loop),
            gate_bounds=parts.gate_bounds(config.shares),
        )
        self._files = parts.watched(config, self._services)
        app = compose(self._services, parts.LIMITS, counters if counters.slots > 1 else None)
        self._listeners = parts.listeners(config, app)

    async def run(self, listening: list[list[socket.socket]]) -> None:
        """Serve until a stop signal. ``listening``: the sockets of each listener."""
        self._handle_signals()
        self._look_at_files()  # this worker may have been forked long after the supervisor had read them
        metrics = self._services.metrics
        metrics.process = process_figures
        metrics.certificate_expires = tls_context.certificate_expires(self._config)
        if self._tls is not None and not self._ticket_keys.set_in(self._tls):
            log.warning("this OpenSSL takes no keys for session tickets: a session is resumed by its own worker only")
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
        for listener, sockets in zip(self._listeners, listening, strict=True):
            await listener.start(sockets, self._tls)
        self._services.ready = True
        runtime_metrics.tune_garbage_collector()
        for where, address in zip(("serving", "management"), parts.addresses(self._config), strict=False):
            log.info("%s on %s port %d", where, address.host, address.port)
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
        if self._tls is not None:
            yield _every(TLS_CHECK, self._reload_changed_tls)
            if first:
                yield _every(TLS_CHECK, self._ticket_keys.renew_if_due)
            yield _every(TLS_CHECK, partial(self._ticket_keys.set_in, self._tls))

    async def _drain(self) -> None:
        config = self._config
        log.info("draining")
        deadline = self._loop.time() + config.drain_seconds
        self._services.draining = True
        for listener in self._listeners:
            listener.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(config.drain_delay, config.drain_seconds)):
                await self._hurry.wait()
        # The management's last, so that it can be seen how the API drains.
        if not all([await listener.stop(deadline) for listener in self._listeners]):
            log.warning("some connections did not end within DRAIN_SECONDS and were cut off")

    async def _close(self) -> None:
        self._services.service_tokens.tend()
        if self._ledger is not None and (left := await self._ledger.close()):
            log.error("%d rows could not be written to the ledger before the end", left)
        await self._backend.close()
        self._write_snapshot()
        if self._access_log is not None:
            self._access_log.close()
        if self._tracer is not None:
            self._tracer.close()

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


def _ledger_changed(services: Services, ledger: Ledger) -> None:
    """Log the ledger's state, and read its epochs, which the shared store may have lost."""
    if ledger.healthy:
        log.info("the ledger is healthy")
        ledger.epochs(lambda epochs: services.identities.learn_epochs(epochs or {}))
        services.identities.sync.follow_ledger()
    else:
        log.warning("the ledger is %s: %s", ledger.status, ledger.fault or "no answer from it yet")


def _follow_ledger(services: Services) -> None:
    """Learn withdrawals of service tokens from the ledger while no shared store tells of them."""
    backend = services.backend
    if isinstance(backend, MemoryBackend) or not backend.healthy:
        services.identities.sync.follow_ledger()
