"""Reads the memory limit of this process: the least limit of its control groups; and the memory of the machine."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")

UNLIMITED: Final = 1 << 60
"""Octets; version 1 writes "no limit" as the largest number of whole pages."""


def memory_limit(root: Path = ROOT, membership: Path = MEMBERSHIP) -> int | None:
    """Return the limit in octets, None without one; of cgroup versions 2 and 1, with the groups above."""
    limits = [limit for file in _files(root, membership) if (limit := _read(file)) is not None]
    return min(limits, default=None)


def machine_memory() -> int:
    """Octets that the machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _files(root: Path, membership: Path) -> Iterator[Path]:
    """Return the files that hold a limit, of the group and of all above it.

    In a container the path may be one of the host, which does not exist here: the root itself is the group then.
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    for line in [*lines, "0::/", "0:memory:/"]:
        _, controllers, path = (line + "::").split(":")[:3]
        version_2 = not controllers
        if version_2 or "memory" in controllers.split(","):
            top = root if version_2 else root / "memory"
            name = "memory.max" if version_2 else "memory.limit_in_bytes"
            group = top / path.lstrip("/")
            if ".." not in group.parts:
                yield from (each / name for each in (group, *group.parents) if each.is_relative_to(top))


def _read(file: Path) -> int | None:
    try:
        text = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() and int(text) < UNLIMITED else None
