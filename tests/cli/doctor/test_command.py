"""The doctor on the command line: output and exit status."""

import json
import re
from pathlib import Path

import pytest

from arsenal_fast.cli.doctor.finding import Level
from arsenal_fast.cli.main import main
from tests.cli.doctor.conftest import GOOD
from tests.support.certificates import good_pair
from tests.support.redis_server import RedisServer
from tests.support.service import command

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[3] / "docs" / "doctor.md"

LINE = re.compile(r"(ok  |skip|warn|fail)  ([a-z-]+) +  ?(.+)")


@pytest.fixture
def good_redis() -> RedisServer:
    """As it should be."""
    return RedisServer(
        "--maxmemory",
        "64mb",
        "--maxmemory-policy",
        "volatile-lfu",
        "--lfu-log-factor",
        "0",
        "--requirepass",
        "q8Zt1vX0aJ",
    )


@pytest.fixture
def production(good_redis: RedisServer, tmp_path: Path) -> dict[str, str]:
    """Variables of a service that would run well."""
    return {
        **GOOD,
        **good_pair(tmp_path / "tls").variables,
        "REDIS_URL": f"redis://:q8Zt1vX0aJ@127.0.0.1:{good_redis.port}/0",
        "DATABASE_URL": f"sqlite:///{tmp_path}/data/identity.db",
    }


def test_where_all_is_well_every_check_is_ok_and_the_exit_status_0(
    good_redis: RedisServer, production: dict[str, str]
) -> None:
    with good_redis:
        done = command("doctor", "--strict", env=production)
    lines = [LINE.fullmatch(line) for line in done.stdout.splitlines()]
    assert all(lines), done.stdout
    found = {line[2]: line[1].strip() for line in lines if line}
    assert found == dict.fromkeys(
        (
            *(
                "configuration",
                "secrets",
                "memory",
                "certificate",
                "redis",
                "redis-version",
                "persistence",
                "eviction",
                "clock",
            ),
            *("traffic", "ledger"),
        ),
        "ok",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_check_that_fails_is_exit_status_1_and_a_mend(production: dict[str, str]) -> None:
    done = command("doctor", env=production)  # Redis is not started
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("fail")]
    assert "nothing listens there -> Start Redis" in line
    assert done.returncode == 1
    assert GOOD["JWT_SECRET"] not in done.stdout
    assert "q8Zt1vX0aJ" not in done.stdout


def test_a_warning_is_exit_status_0_and_1_if_that_is_wanted() -> None:
    assert command("doctor", env={"JWT_SECRET": "short"}).returncode == 0
    assert command("doctor", "--strict", env={"JWT_SECRET": "short"}).returncode == 1


def test_a_configuration_that_can_not_be_used_is_exit_status_78_and_a_line_for_each_fault() -> None:
    done = command("doctor", env={"NODE_ENV": "production", "PORT": "x"})
    lines = done.stdout.splitlines()
    assert {line.split()[2] for line in lines} == {"PORT", "REDIS_URL", "JWT_SECRET", "API_BASE_URL", "CORS_ORIGIN"}
    assert all(line.startswith("fail  configuration  ") for line in lines)
    assert (done.returncode, done.stderr) == (78, "")


def test_json_has_the_same_findings_for_programs(production: dict[str, str]) -> None:
    done = command("doctor", "--json", env=production)
    document = json.loads(done.stdout)
    assert document["status"] == "fail"
    assert {each["level"] for each in document["checks"]} <= {level.value for level in Level}
    (failed,) = [each for each in document["checks"] if each["level"] == "fail"]
    assert failed.keys() == {"check", "level", "text", "mend"}
    assert failed["check"] == "redis"
    assert all(each["mend"] is None for each in document["checks"] if each["level"] == "ok")
    assert done.returncode == 1


@pytest.mark.parametrize("seconds", ["0", "61", "1.5", "x", "٣"])
def test_the_time_is_bounded(seconds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--timeout", seconds])
    assert ended.value.code == 2


def test_the_page_names_every_check_and_every_level(good_redis: RedisServer, production: dict[str, str]) -> None:
    with good_redis:
        document = json.loads(command("doctor", "--json", env=production).stdout)
    text = PAGE.read_text()
    for word in (*(each["check"] for each in document["checks"]), *(level.value for level in Level)):
        assert f"| `{word}` |" in text
