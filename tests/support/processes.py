"""What processes hold, by proc(5)."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

MEBIBYTE: Final = 1 << 20


class Held(NamedTuple):
    """Of several processes together."""

    resident: int
    """Bytes of memory; pages that they share count in each."""
    descriptors: int
    threads: int


def resident(pid: int) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def waited_s(*pids: int) -> float:
    """Seconds for which the main threads were ready and had no processor: the machine's time and not theirs."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in pids) / 1e9


def held(pids: Iterable[int]) -> Held:
    pids = list(pids)
    files, threads = (sum(len(list(Path(f"/proc/{pid}/{what}").iterdir())) for pid in pids) for what in ("fd", "task"))
    return Held(sum(map(resident, pids)), files, threads)


def sockets(pid: int) -> list[str]:
    """The sockets of a process."""
    targets = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            targets.append(os.readlink(path))
    return [target for target in targets if target.startswith("socket:")]
