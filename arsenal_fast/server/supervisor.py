"""Supervises WORKERS processes on one port.

The parent forks a worker for each slot, waits, and replaces the dead. Rules of this file:

* The parent holds no listening socket: each worker binds its own (SO_REUSEPORT). One left open here would
  go on accepting after the workers have stopped listening, and reset these connections at the end.
* Nothing is polled: the parent sleeps in one ``select`` on the pipe into which the interpreter's C-level
  signal handler writes the signals' numbers. What arrives at any time before the select is in the pipe.
* The parent waits for nothing else, not for the log's reader either: a thread writes it (``log_writer``).
* Signals are blocked around each fork, so that none can run the parent's handler in the child or write into
  the pipe they would share.
* A worker must not outlive its supervisor, or it would hold the port against the next one. Each waits, in a
  thread, for the end of a pipe that only the parent can write; the kernel closes it however the parent
  dies. (PR_SET_PDEATHSIG does the same, but only on Linux, and not for the death of a forking thread.)
* A dead worker is replaced at once; after repeated early deaths with growing delays (MAX_PAUSE).
* A failing start is not repeated: if the first process of every slot ends with the same
  failure (the port is taken: 1, the configuration: 78), that is the exit status.

A worker gets SIGTERM to stop, HURRY when the supervisor gets a second stop signal, and SIGHUP to read its
certificate again. A signal to the whole process group (a terminal's SIGINT, systemd's SIGTERM) reaches the
workers too: they ignore SIGINT and a second SIGTERM. Until ``serve`` has set its own handlers
SIGTERM ends a worker with 0: it has accepted nothing yet.
"""

import logging
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf
from types import FrameType
from typing import Final, NoReturn

from arsenal_fast.config.load import Config
from arsenal_fast.observability.multiprocess import SharedCounters

Serve = Callable[[Config, int, SharedCounters], int]

SNAPSHOT_SIZE: Final = 1 << 18
"""Bytes of a worker's snapshot in SharedCounters; memory that is never written costs nothing."""

YOUNG: Final = 10.0
"""Seconds of age below which a worker's death counts as early."""

UP: Final = 2.0
"""Seconds after which a worker that still runs has come up."""

FIRST_PAUSE: Final = 0.1
MAX_PAUSE: Final = 5.0
"""Seconds before a restart after the second early death in a row, and at most; doubling in between."""

STOP_MARGIN: Final = 8.0
"""Seconds a worker may take to stop beyond DRAIN_SECONDS (ledger and log are flushed then) before it is killed."""

EXIT_CRASH: Final = 70  # EX_SOFTWARE: serve raised

HURRY: Final = signal.SIGUSR1
"""Signals a stopping worker to skip DRAIN_DELAY. SIGTERM can't: see above."""

_HANDLED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Worker:
    """One slot and its process, if any (``pid`` is not 0)."""

    slot: int
    pid: int = 0
    started: float = 0.0
    start_at: float = 0.0
    """When to start the next process, on the monotonic clock."""
    young_deaths: int = 0
    first_exit: int | None = None
    """How the slot's first process ended: an exit status, or minus a signal."""


def pause_before_restart(young_deaths: int) -> float:
    """Return the seconds to wait after this number of early deaths in a row."""
    if young_deaths < 2:
        return 0.0
    return min(MAX_PAUSE, FIRST_PAUSE * 2.0 ** min(young_deaths - 2, 16))


def run(config: Config, serve: Serve, reservation: ExitStack | None = None) -> int:
    """Run ``serve(config, slot, counters)`` in ``config.workers`` processes until a stop signal.

    Returns the exit status: 0 when all workers ended with 0 in the stop, the common failure of a start in
    which no worker came up, else 1. To be called in the main thread. ``reservation``: of the addresses
    (``listen_socket``), closed when the stop begins: the next service may start then.
    """
    try:
        return _Supervisor(config, serve, reservation).run()
    finally:
        for number in _HANDLED:  # the process ends anyway
            signal.signal(number, signal.SIG_IGN)


class _Supervisor:
    def __init__(self, config: Config, serve: Serve, reservation: ExitStack | None) -> None:
        self._config, self._serve, self._reservation = config, serve, reservation
        self._counters = SharedCounters(config.workers, SNAPSHOT_SIZE)
        self._signals = _signal_pipe()
        self._life_line = os.pipe()  # without writes: its end-of-file shows the workers that the parent has ended
        self._workers = [_Worker(slot) for slot in range(config.workers)]
        self._kill_at: float | None = None  # set: we are stopping; infinite: the workers are killed
        self._status: int | None = None  # set: why we stop by ourselves
        self._clean = True

    def run(self) -> int:
        while True:
            now = time.monotonic()
            if self._kill_at is None:
                self._start_due(now)
            elif not any(worker.pid for worker in self._workers):
                break
            elif now >= self._kill_at:
                self._kill()
            for number in self._wait(now):
                self._handle(number)
        if self._status is not None:
            return self._status
        log.info("all workers have stopped")
        return 0 if self._clean else 1

    def _wait(self, now: float) -> bytes:
        """Wait for signals; returns their numbers, or none when a timer is due first."""
        due = self._kill_at
        if due is None:
            due = min((worker.start_at for worker in self._workers if not worker.pid), default=inf)
        timeout = None if due == inf else max(0.0, due - now)
        ready, _, _ = select.select([self._signals[0]], [], [], timeout)
        return os.read(self._signals[0], 4096) if ready else b""

    def _handle(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            self._send(signal.SIGHUP)
        elif number in {signal.SIGTERM, signal.SIGINT}:
            self._stop(signal.Signals(number).name)

    def _stop(self, reason: str) -> None:
        if self._kill_at is not None:
            self._send(HURRY)
            log.info("stopping without further delay: %s again", reason)
            return
        self._kill_at = time.monotonic() + self._config.drain_seconds + STOP_MARGIN
        self._release()
        self._send(signal.SIGTERM)
        log.info("stopping: %s", reason)

    def _kill(self) -> None:
        for worker in self._workers:
            if worker.pid:
                log.error("worker %d (process %d) did not stop in time: killed", worker.slot, worker.pid)
        self._clean, self._kill_at = False, inf
        self._send(signal.SIGKILL)

    def _release(self) -> None:
        if self._reservation is not None:
            self._reservation.close()

    def _send(self, number: signal.Signals) -> None:
        # A dead process keeps its number until we reap it, so no other process is ever hit.
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, number)

    def _reap(self) -> None:
        # One SIGCHLD may stand for many deaths.
        for worker in self._workers:
            if worker.pid:
                pid, wait_status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    self._buried(worker, os.waitstatus_to_exitcode(wait_status))

    def _buried(self, worker: _Worker, code: int) -> None:
        now = time.monotonic()
        pid, lived = worker.pid, now - worker.started
        worker.pid = 0
        if self._kill_at is not None:
            self._clean = self._clean and code == 0
            return
        if worker.first_exit is None:
            worker.first_exit = code
        worker.young_deaths = worker.young_deaths + 1 if lived < YOUNG else 0
        pause = pause_before_restart(worker.young_deaths)
        worker.start_at = now + pause
        log.error("worker %d (process %d) died: %s; replaced in %.1f s", worker.slot, pid, _described(code), pause)
        if self._hopeless(now):
            self._status = code
            self._stop(f"no worker could start ({_described(code)})")

    def _hopeless(self, now: float) -> bool:
        """Whether the first process of each slot has ended, all with the same failure, and none is up."""
        exits = {worker.first_exit for worker in self._workers}
        if len(exits) > 1 or any(worker.pid and now - worker.started > UP for worker in self._workers):
            return False
        code = exits.pop()
        return code is not None and code > 0 and all(worker.young_deaths for worker in self._workers)

    def _start_due(self, now: float) -> None:
        for worker in self._workers:
            if not worker.pid and worker.start_at <= now:
                self._start(worker)

    def _start(self, worker: _Worker) -> None:
        sys.stdout.flush()  # buffered text would be written twice
        sys.stderr.flush()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*_HANDLED, HURRY))
        try:
            with warnings.catch_warnings():
                # Python 3.12 warns of a fork with threads: ours is the log's, and the child makes a new lock for it.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError as error:  # no memory, too many processes: counts as a worker that died at once
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            worker.young_deaths += 1
            worker.start_at = time.monotonic() + max(FIRST_PAUSE, pause_before_restart(worker.young_deaths))
            log.error("worker %d can't be forked: %s", worker.slot, error.strerror)
            return
        if not pid:
            self._become_worker(worker.slot, mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        worker.pid, worker.started = pid, time.monotonic()
        # A line for each of up to 64 workers; MAX_PAUSE bounds the lines of one that dies repeatedly.
        log.info("worker %d is process %d", worker.slot, pid, extra={"each": True})

    def _become_worker(self, slot: int, mask: Iterable[int]) -> NoReturn:
        status = EXIT_CRASH
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGINT, signal.SIGHUP, HURRY):
                signal.signal(number, signal.SIG_IGN)
            self._release()
            signal.signal(signal.SIGTERM, _leave)
            waits, keeps = self._life_line
            for descriptor in (*self._signals, keeps):
                os.close(descriptor)
            threading.Thread(target=_follow, args=(waits,), name="life-line", daemon=True).start()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            status = self._serve(self._config, slot, self._counters)
        except BaseException:
            log.exception("worker %d crashed", slot)
        finally:
            # Not sys.exit: it would run the finally clauses of the parent's frames.
            logging.shutdown()
            sys.stdout.flush()
            os._exit(status)


def _follow(waits: int) -> None:
    """In a thread of a worker: wait for the end of the supervisor, then stop as by its signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_HANDLED, HURRY))  # signals are for the main thread
    os.read(waits, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(0)


def _note(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the interpreter has written the signal's number into the pipe."""


def _described(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    return signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"


def _signal_pipe() -> tuple[int, int]:
    """Route our signals into a pipe; returns its ends."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number in _HANDLED:
        signal.signal(number, _note)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading, writing
