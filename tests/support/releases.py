"""Two releases of the service: this source tree, and a later one made from it.

The next release is made of this one: a higher version, and one more migration of the ledger, as a release would
bring it (a column that older processes don't know, an index). What is unreal about it: nothing else differs. With
UPGRADE_FROM, the directory of an older release's source, that one is upgraded to this one instead.
"""

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import arsenal_fast
from tests.support.service import ServiceProcess, command

SOURCE: Final = Path(arsenal_fast.__file__).parent
PROGRAM: Final = (sys.executable, "-P", "-m", "arsenal_fast")  # -P: not what lies in the current directory

EX_CONFIG: Final = 78  # sysexits.h

_MIGRATION = """
SQLITE = {**SQLITE, max(SQLITE) + 1: '''
ALTER TABLE events ADD COLUMN rehearsal INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_rehearsal ON events (rehearsal, at);
'''}
POSTGRES = {**POSTGRES, max(POSTGRES) + 1: '''
ALTER TABLE {schema}.events ADD COLUMN rehearsal bigint NOT NULL DEFAULT 0;
CREATE INDEX events_rehearsal ON {schema}.events (rehearsal, at);
'''}
VERSION: Final = max(SQLITE)
"""


@dataclass(frozen=True)
class Release:
    """``version`` is what ``/api/health`` says; ``schema`` the version of its ledger's schema."""

    path: Path
    version: str
    schema: int

    def process(self, **env: str) -> ServiceProcess:
        """A replica, not started."""
        return ServiceProcess(program=PROGRAM, PYTHONPATH=str(self.path), **env)

    def command(self, *arguments: str, env: Mapping[str, str]) -> str:
        """What one of its commands writes to stdout, when it has gone well."""
        done = command(*arguments, program=PROGRAM, env={"PYTHONPATH": str(self.path), **env})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def refusal(self, env: Mapping[str, str]) -> str:
        """What it says when it will not start with this configuration."""
        done = command("serve", program=PROGRAM, env={"PYTHONPATH": str(self.path), **env})
        assert done.returncode == EX_CONFIG, done.stdout + done.stderr
        return done.stderr


def two_releases(directory: Path) -> tuple[Release, Release]:
    """The old one and the new one; ``directory`` is where they may be put."""
    here = _release(SOURCE.parent)
    if older := os.environ.get("UPGRADE_FROM"):
        return _release(Path(older)), here
    copied = directory / "next"
    shutil.copytree(SOURCE, copied / SOURCE.name, ignore=shutil.ignore_patterns("__pycache__"))
    major, minor, patch = arsenal_fast.__version__.split(".")
    _edit(
        copied / "arsenal_fast" / "__init__.py", f'"{arsenal_fast.__version__}"', f'"{major}.{minor}.{int(patch) + 1}"'
    )
    _edit(copied / "arsenal_fast" / "ledger" / "migrations.py", "VERSION: Final = max(SQLITE)\n", _MIGRATION)
    new = _release(copied)
    assert new.schema == here.schema + 1, "without a migration this would be half a rehearsal"
    return here, new


def _release(path: Path) -> Release:
    told = command("--version", program=PROGRAM, env={"PYTHONPATH": str(path)})
    assert told.returncode == 0, told.stderr
    ledger = path / "arsenal_fast" / "ledger"
    newer, older = ledger / "migrations.py", ledger / "schema.py"  # the name in earlier sources
    schema = (newer if newer.exists() else older).read_text()
    steps = [int(number) for number in re.findall(r"^    (\d+): \"\"\"$", schema, re.MULTILINE)]
    return Release(path, f"v{told.stdout.split()[-1]}", max(steps) + schema.count(_MIGRATION))


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file} has changed: {old!r} is there {text.count(old)} times"
    file.write_text(text.replace(old, new))
