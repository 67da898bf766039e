"""A file is read again when it is another one, and a wrong one changes nothing."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from arsenal_fast.config.watched import WatchedFile


class Watching:
    """What a watched file of one number has brought about."""

    def __init__(self, path: Path) -> None:
        self.used: list[int] = []
        self.noted: list[tuple[str, bool]] = []
        self.reads = 0
        self.file = WatchedFile(
            "NUMBER", str(path), self._parse, self.used.append, lambda *noted: self.noted.append(noted)
        )

    def _parse(self, path: str) -> int:
        self.reads += 1
        try:
            return int(Path(path).read_text())
        except OSError:
            raise ValueError("can't be read") from None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1")
    os.utime(path, ns=(1, 1))
    return path


def test_the_first_look_reads_and_further_ones_only_what_has_changed(path: Path) -> None:
    watching = Watching(path)
    for _ in range(3):
        watching.file.look()
    assert (watching.used, watching.reads) == ([1], 1)
    path.write_text("2")
    os.utime(path, ns=(2, 2))
    for _ in range(3):
        watching.file.look()
    assert (watching.used, watching.reads) == ([1, 2], 2)
    assert watching.noted == [("NUMBER", True)] * 2


def overwritten(path: Path) -> None:
    path.write_text("22")
    os.utime(path, ns=(1, 1))


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_text("2")
    os.utime(other, ns=(1, 1))
    other.replace(path)


@pytest.mark.parametrize("change", [overwritten, replaced])
def test_a_change_is_seen_without_a_newer_time(path: Path, change: Callable[[Path], None]) -> None:
    watching = Watching(path)
    watching.file.look()
    change(path)
    watching.file.look()
    assert watching.used[1:] == [int(path.read_text())]


def test_the_links_of_a_config_map_are_followed(tmp_path: Path) -> None:
    """Kubernetes: the file is a link into ..data, itself a link that is replaced by another directory's."""
    for number in (1, 2):
        version = tmp_path / f"..version{number}"
        version.mkdir()
        (version / "number").write_text(str(number))
        os.utime(version / "number", ns=(1, 1))
    data, path = tmp_path / "..data", tmp_path / "number"
    data.symlink_to("..version1")
    path.symlink_to("..data/number")
    watching = Watching(path)
    watching.file.look()
    (tmp_path / "..data_tmp").symlink_to("..version2")
    (tmp_path / "..data_tmp").replace(data)
    watching.file.look()
    assert watching.used == [1, 2]


@pytest.mark.parametrize("fault", ["x", None], ids=["wrong", "missing"])
def test_a_wrong_file_is_told_once_and_what_was_in_force_stays(
    path: Path, fault: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    watching = Watching(path)
    watching.file.look()
    if fault is None:
        path.unlink()
    else:
        path.write_text(fault)
        os.utime(path, ns=(2, 2))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            watching.file.look()
    assert watching.used == [1]
    assert watching.noted == [("NUMBER", True), ("NUMBER", False)]
    (line,) = caplog.messages
    assert line.startswith("NUMBER is refused, and what it had before stays in force: NUMBER ")
    path.write_text("3")
    os.utime(path, ns=(3, 3))
    watching.file.look()
    assert watching.used == [1, 3]
    assert watching.noted[-1] == ("NUMBER", True)


def test_a_signal_reads_also_what_has_not_changed(path: Path) -> None:
    watching = Watching(path)
    watching.file.look()
    watching.file.read()
    watching.file.look()
    assert watching.used == [1, 1]
