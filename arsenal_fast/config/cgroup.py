"""Reads the limits of this process's control groups: memory and CPUs; and the memory of the machine.

Both versions of control groups are read. A limit of a group holds for all groups below it, so the least one counts.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")

UNLIMITED: Final = 1 << 60
"""Bytes; version 1 writes "no limit" as the largest number of whole pages."""


def memory_limit(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Return the limit in bytes, None without one."""
    files = (
        group / ("memory.max" if version_2 else "memory.limit_in_bytes")
        for group, version_2 in _groups("memory", root, membership)
    )
    limits = (int(text) for file in files if (text := _read(file)).isdecimal())
    return min((limit for limit in limits if limit < UNLIMITED), default=None)


def cpu_limit(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Return the whole CPUs, rounded up, that the quotas allow; None without one."""
    limits = []
    for group, version_2 in _groups("cpu", root, membership):
        if version_2:
            quota, _, period = _read(group / "cpu.max").partition(" ")
        else:
            quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):  # "max" or -1 is no quota
            limits.append(-(-int(quota) // int(period)))
    return min(limits, default=None)


def machine_memory() -> int:
    """Bytes that the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups(controller: str, root: Path, membership: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the directory of each group that bounds this process, and whether it is of version 2.

    In a container the path may be one of the host, which does not exist here: the root itself is the group then.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    for line in [*lines, "0::/", f"0:{controller}:/"]:
        _, controllers, path = (line + "::").split(":")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        # Controllers that are mounted together have a directory of both names; not everywhere a link of each.
        for top in (root / name for name in dict.fromkeys((controllers and controller, controllers))):
            group = top / path.lstrip("/")
            if ".." not in group.parts:
                yield from ((each, not controllers) for each in (group, *group.parents) if each.is_relative_to(top))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
