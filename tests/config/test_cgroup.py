"""The kernel's memory limit, read from file trees of kernels and container engines."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from arsenal_fast.config.cgroup import memory_limit

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


@pytest.mark.parametrize(("membership", "files", "limit"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_least_limit_is_found(tmp_path: Path, membership: str, files: Mapping[str, str], limit: int | None) -> None:
    own = tmp_path / "self"
    if membership:
        own.write_text(membership, encoding="utf-8")
    root = tmp_path / "cgroup"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    assert memory_limit(root, own) == limit
