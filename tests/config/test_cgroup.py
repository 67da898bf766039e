"""The limits of memory and CPUs that the kernel sets, read from trees as kernels and container engines lay them out."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from arsenal_fast.config.cgroup import cpu_limit, memory_limit

NO_LIMIT_1 = "9223372036854771712\n"

CASES = [
    ("no cgroups at all", "", {}, None),
    ("version 2, in a container", "0::/\n", {"memory.max": "268435456\n"}, 268435456),
    ("version 2, no limit", "0::/\n", {"memory.max": "max\n"}, None),
    (
        "version 2, a service of systemd, bounded by its slice",
        "0::/system.slice/arsenal.service\n",
        {"system.slice/arsenal.service/memory.max": "max\n", "system.slice/memory.max": "1000\n"},
        1000,
    ),
    (
        "version 2, the least of all groups",
        "0::/a/b\n",
        {"a/b/memory.max": "3000\n", "a/memory.max": "2000\n", "memory.max": "5000\n"},
        2000,
    ),
    ("version 2, a path of the host", "0::/docker/1234\n", {"memory.max": "7000\n"}, 7000),
    ("version 2, a path out of the tree", "0::/../../x\n", {"memory.max": "7000\n"}, 7000),
    (
        "version 1",
        "5:cpu:/x\n4:memory:/docker/12\n0::/\n",
        {"memory/docker/12/memory.limit_in_bytes": "268435456\n", "memory/memory.limit_in_bytes": NO_LIMIT_1},
        268435456,
    ),
    ("version 1, in a container", "4:memory:/docker/12\n", {"memory/memory.limit_in_bytes": "4096\n"}, 4096),
    ("version 1, no limit", "4:memory:/\n", {"memory/memory.limit_in_bytes": NO_LIMIT_1}, None),
    ("garbage", "what is this\n\n:::\n", {"memory.max": "lots\n"}, None),
]


CPU_CASES = [
    ("no cgroups at all", "", {}, None),
    ("version 2, no quota", "0::/\n", {"cpu.max": "max 100000\n"}, None),
    ("version 2, half a CPU", "0::/\n", {"cpu.max": "50000 100000\n"}, 1),
    ("version 2, rounded up", "0::/\n", {"cpu.max": "250000 100000"}, 3),
    (
        "version 2, a service of systemd, bounded by its slice",
        "0::/system.slice/arsenal.service\n",
        {"system.slice/arsenal.service/cpu.max": "max 100000\n", "system.slice/cpu.max": "200000 100000\n"},
        2,
    ),
    (
        "version 2, a child group in a container",
        "0::/init\n",
        {"init/cpu.max": "300000 100000\n", "cpu.max": "400000 100000\n"},
        3,
    ),
    ("version 2, a path of the host", "0::/docker/1234\n", {"cpu.max": "150000 100000\n"}, 2),
    (
        "version 1, of two controllers that share a mount",
        "5:cpu,cpuacct:/docker/12\n4:memory:/docker/12\n",
        {
            "cpu,cpuacct/docker/12/cpu.cfs_quota_us": "150000\n",
            "cpu,cpuacct/docker/12/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    (
        "version 1, in a container",
        "5:cpu,cpuacct:/docker/12\n",
        {"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        4,
    ),
    ("version 1, no quota", "5:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ("garbage", "what is this\n\n:::\n", {"cpu.max": "1 0\n", "cpu/cpu.cfs_quota_us": "100\n"}, None),
]


def laid_out(directory: Path, membership: str, files: Mapping[str, str]) -> tuple[Path, Path]:
    """Write the files of a tree; returns its root and the file of the memberships."""
    own = directory / "self"
    if membership:
        own.write_text(membership, encoding="utf-8")
    root = directory / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root, own


@pytest.mark.parametrize(("membership", "files", "limit"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_least_limit_is_found(tmp_path: Path, membership: str, files: Mapping[str, str], limit: int | None) -> None:
    assert memory_limit(*laid_out(tmp_path, membership, files)) == limit


@pytest.mark.parametrize(
    ("membership", "files", "cpus"), [case[1:] for case in CPU_CASES], ids=[c[0] for c in CPU_CASES]
)
def test_the_least_quota_of_cpus_is_found(
    tmp_path: Path, membership: str, files: Mapping[str, str], cpus: int | None
) -> None:
    assert cpu_limit(*laid_out(tmp_path, membership, files)) == cpus
