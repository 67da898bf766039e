"""``kill -9``: every acknowledged row is in the ledger, and the next process continues."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.prune import verify
from tests.support.ledger import opened

ROUNDS = 5
PROCESSES = 2
ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.integration


def output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def test_whatever_was_acknowledged_before_a_kill_is_in_the_ledger(url: str) -> None:
    told: dict[str, set[Life]] = {}
    for number in range(ROUNDS):
        with ExitStack() as stack:
            command = [sys.executable, "-m", "tests.support.ledger_child", url]
            children = [
                stack.enter_context(subprocess.Popen([*command, f"{number}.{name}"], cwd=ROOT, stdout=subprocess.PIPE))
                for name in range(PROCESSES)
            ]
            lines: list[bytes] = []
            for child in children:
                # Another moment of its work in each round: in the middle of a commit, between two.
                lines += [output(child).readline() for _ in range(300 + 137 * number)]
            for child in children:
                child.kill()
            for child in children:
                lines += output(child).readlines()
        for line in lines:
            if line.endswith(b"\n"):
                identity, generated, expires = line.split()
                told.setdefault(identity.decode(), set()).add(Life(int(generated), int(expires)))
    assert len(told) > ROUNDS * PROCESSES * 150
    store = opened(url)
    try:
        records = store.find(list(told))
    finally:
        store.close()
    lost = [
        identity
        for (identity, lives), past in zip(told.items(), records, strict=True)
        if past is None or {past.life} != lives
    ]
    assert lost == []
    assert verify(url).faults == []
