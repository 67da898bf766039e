"""Processes under measurement: started on one core, watched through /proc, stopped by their own pid.

CPU time comes from two places. ``/proc/<pid>/task/<tid>/schedstat`` counts nanoseconds a thread; it forgets
threads and children that have ended. ``/proc/<pid>/stat`` counts 10 ms ticks, with reaped children. Both are
read over the whole tree before and after; nanoseconds are used unless something ended in between or the ticks
know of more. proc(5).
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench import BenchError

SERVER_CORE = 0
LOAD_CORE = 1  # wrk and Redis: what they take from each other is not in the figures
STOP_SECONDS = 5.0
PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
INHERITED = ("PATH", "HOME")  # the caller's own settings must not change what is measured
PACKAGES = {"wrk": "wrk", "taskset": "util-linux", "redis-server": "redis-server"}


class Stat(NamedTuple):
    """Of /proc/<pid>/stat: the parent, CPU ticks with reaped children, resident pages."""

    parent: int
    ticks: int
    resident_pages: int


@dataclass(frozen=True)
class CpuReading:
    """CPU time of a process tree up to one moment."""

    ticks: int
    threads: Mapping[tuple[int, int], int]  # (pid, tid) -> nanoseconds


class CpuSpent(NamedTuple):
    """CPU time between two readings and the file that it comes from: ``schedstat`` or ``stat``."""

    microseconds: float
    source: str


def require_tools() -> None:
    """Raise BenchError when a program that every run needs is missing."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if missing:
        raise BenchError(f"Missing programs; install the packages: {' '.join(missing)}.")
    if not {SERVER_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise BenchError("Two cores are needed, 0 for the server and 1 for the load.")


def prepare() -> None:
    """Make room for 5,000 connections, and keep the harness itself off the server's core."""
    require_tools()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, {LOAD_CORE})


def parse_stat(text: str) -> Stat:
    """Read one line of /proc/<pid>/stat; the name (field 2) may hold spaces and parentheses."""
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(int(fields[1]), sum(map(int, fields[11:15])), int(fields[21]))


def parse_schedstat(text: str) -> int:
    """Nanoseconds on a CPU, the first of the three numbers."""
    return int(text.split(maxsplit=1)[0])


def parse_core(text: str, core: int) -> int:
    """Busy ticks of one core from /proc/stat: all states but idle and iowait; stolen time is included."""
    for line in text.splitlines():
        name, *values = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, *others = map(int, values[:8])
            return user + nice + system + sum(others)
    raise BenchError(f"No core {core} in /proc/stat.")


def tree(root: int, stats: Mapping[int, Stat]) -> list[int]:
    """The pids of ``root`` and all its descendants."""
    found = [root] if root in stats else []
    for pid in found:  # grows while it is walked
        found.extend(child for child, stat in stats.items() if stat.parent == pid)
    return found


def spent(before: CpuReading, after: CpuReading) -> CpuSpent:
    """CPU time between two readings of one tree."""
    ticks = (after.ticks - before.ticks) * 1_000_000 / TICKS_PER_SECOND
    nanoseconds = sum(used - before.threads.get(thread, 0) for thread, used in after.threads.items())
    # Each process rounds user and system time down to a tick, so a few ticks less or more mean nothing.
    slack = 1_000_000 / TICKS_PER_SECOND * 4 * max(1, len(after.threads)) + ticks / 100
    if not before.threads.keys() <= after.threads.keys() or ticks - nanoseconds / 1000 > slack:
        return CpuSpent(ticks, "stat")
    return CpuSpent(nanoseconds / 1000, "schedstat")


def read_stats() -> dict[int, Stat]:
    """Of every process that is there."""
    stats = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            try:
                stats[int(entry.name)] = parse_stat((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):  # ended between listing and reading
                continue
    return stats


def read_cpu(root: int) -> CpuReading:
    """CPU time of the tree of ``root``. Raises BenchError when it has ended."""
    stats = read_stats()
    pids = tree(root, stats)
    if not pids:
        raise BenchError(f"The server with pid {root} has ended while it was measured.")
    threads = {}
    for pid in pids:
        for entry in (PROC / str(pid) / "task").glob("*/schedstat"):
            try:
                threads[pid, int(entry.parent.name)] = parse_schedstat(entry.read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
    return CpuReading(sum(stats[pid].ticks for pid in pids), threads)


def read_core_us(core: int) -> float:
    """Microseconds for which the core has been busy, by any process."""
    return parse_core((PROC / "stat").read_text(), core) * 1_000_000 / TICKS_PER_SECOND


def read_rss(root: int) -> int:
    """Resident bytes of the tree; pages that processes share count in each of them."""
    stats = read_stats()
    return sum(stats[pid].resident_pages for pid in tree(root, stats)) * os.sysconf("SC_PAGE_SIZE")


def read_peak_rss(root: int) -> int:
    """Bytes that the tree had resident at most, each process at its own worst moment (VmHWM, proc(5))."""
    peak = 0
    for pid in tree(root, read_stats()):
        peak += parse_peak_rss((PROC / str(pid) / "status").read_text())
    return peak


def parse_peak_rss(text: str) -> int:
    """Bytes of the VmHWM line of /proc/<pid>/status; 0 for a process that has no memory (a zombie)."""
    for line in text.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def free_port() -> int:
    """A port that was free a moment ago; if it is taken meanwhile, the server fails to bind it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children, by pid: SIGTERM, then SIGKILL."""
    pids = tree(process.pid, read_stats())
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    for pid in pids[1:]:
        # Still in the session that this process began, so it is its child and not a reused pid.
        try:
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], core: int, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program pinned to ``core`` for the length of the block; its output goes to ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],  # taskset becomes the program: the pid stays
            env={**{name: os.environ[name] for name in INHERITED if name in os.environ}, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that Ctrl-C reaches the harness alone, which then stops all in order
        )
    try:
        yield process
    finally:
        stop(process)


def redis_command(port: int) -> list[str]:
    """A Redis that keeps nothing on disk."""
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "maxmemory": "512mb"}
    options["maxmemory-policy"] = "volatile-ttl"
    return ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))]


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 10.0) -> None:
    """Wait for ``ready()``. Raises BenchError with the log's end."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.002)
    raise BenchError(f"{log.stem} did not become ready.{last_words(log)}")


def last_words(log: Path) -> str:
    """A sentence with the end of a program's output; empty when it said nothing."""
    said = log.read_text(errors="replace")[-600:].strip()
    return f"\n{log.stem} said: ...{said}" if said else ""
