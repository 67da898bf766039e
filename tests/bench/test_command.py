"""The command line, and servers as rows."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench import BenchError
from bench.__main__ import THE_WORKLOADS, parse_arguments, place
from bench.results import DIRECTORY
from bench.scenarios import SCENARIOS
from bench.servers import AS_INSTALLED, FLOOR, SERVICE, Server, without_gc

TAKEN = "2026-11-22T10:00:00Z"


def test_words_in_braces_are_filled_in() -> None:
    command, environment = SERVICE.filled(port=3655, redis_port=6400, redis_db=2, scratch="/s")
    assert command == [sys.executable, "-c", AS_INSTALLED, "arsenal_fast", "serve"]
    assert (environment["PORT"], environment["REDIS_URL"]) == ("3655", "redis://127.0.0.1:6400/2")
    floor, _ = FLOOR.filled(port=1, answer="/a")
    assert Path(floor[1]).is_file()


def test_the_service_is_given_a_limit_of_at_least_a_microsecond_a_request() -> None:
    requests, window = (int(SERVICE.environment[f"RATE_LIMIT_{name}"]) for name in ("REQUESTS", "WINDOW"))
    assert window * 1_000_000 // requests >= 1


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        ({"programs": ("sh", "no-such-runtime")}, "no-such-runtime is not installed"),
        ({"packages": ("json", "no_such_package")}, "no_such_package is not installed"),
        ({"made": "{bench}/no-such-file"}, "it is not built: run make peers"),
        ({"programs": ("sh",), "packages": ("json",), "made": "{bench}/servers.py"}, None),
    ],
)
def test_a_server_that_lacks_something_says_what(needs: dict[str, Any], reason: str | None) -> None:
    assert Server("peer", ("x",), **needs).left_out() == reason


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ([], True),
        (["--rounds", "2"], False),
        (["--rounds", "5"], True),
        (["--quick"], False),
        (["--only", "validate"], False),
        (["--scenario", "scale"], False),
    ],
)
def test_only_a_whole_run_becomes_the_newest_result(arguments: list[str], kept: bool) -> None:
    expected = DIRECTORY / "2026-11-22T100000Z.json" if kept else None
    assert place(parse_arguments(arguments), TAKEN) == expected
    assert place(parse_arguments([*arguments, "--out", "o.json"]), TAKEN) == Path("o.json")


@pytest.mark.parametrize("arguments", [["--seconds", "1"], ["--rounds", "0"], ["--only", "nothing"]])
def test_a_run_that_could_not_be_believed_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_arguments(arguments)
    assert "error" in capsys.readouterr().err


def test_without_a_choice_everything_is_measured() -> None:
    assert parse_arguments([]).scenario == [THE_WORKLOADS, *(scenario.name for scenario in SCENARIOS)]
    assert parse_arguments(["--only", "validate"]).scenario == [THE_WORKLOADS]
    assert parse_arguments(["--scenario", "scale", "tail"]).scenario == ["scale", "tail"]


@pytest.mark.integration
def test_the_module_runs_with_its_arguments_and_without_the_collector(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import gc, sys; print(gc.isenabled(), __name__, *sys.argv[1:])")
    command, _ = without_gc(
        Server("program", ("{python}", "-c", AS_INSTALLED, "program", "serve", "--port=1"))
    ).filled()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "__main__", "serve", "--port=1"]


def test_a_server_that_is_no_python_module_keeps_its_collector() -> None:
    with pytest.raises(BenchError, match="no Python module"):
        without_gc(FLOOR)
