"""The scripts of the backup CronJobs, run as in the pods, against a real Redis and a real PostgreSQL."""

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from arsenal_fast.cli.main import main
from arsenal_fast.identity.validity import Life
from arsenal_fast.ledger.model import LedgerRow
from arsenal_fast.ledger.postgres import PostgresStore
from arsenal_fast.ledger.store import Lives
from tests.deploy.manifests import K8S, built
from tests.support.postgres_server import PostgresServer
from tests.support.redis_server import RedisServer

pytestmark = [
    pytest.mark.deploy("Kubernetes: backup CronJobs", tool="redis-cli, pg_dump"),
    pytest.mark.integration,
]

ID = "player-1@sports.api.yourbook.com/v1:id"
LONG_AGO = 15 * 86_400


def run(component: str, backups: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command of the CronJob, its script found where the repository has it."""
    job = built("production").get(f"CronJob/{component}")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    shell, script = job["containers"][0]["command"]
    keep = {each["name"]: each["value"] for each in job["containers"][0]["env"] if "value" in each}
    return subprocess.run(
        [shell, K8S / "components" / component / Path(script).name],
        env={"PATH": os.environ["PATH"], "BACKUPS": str(backups), **keep, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def one(directory: Path) -> Path:
    """The only file there, which must be named for today."""
    (found,) = directory.iterdir()
    assert time.strftime("%Y%m%d", time.localtime()) in found.name
    return found


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def test_a_dump_of_redis_is_read_by_the_next_redis(tmp_path: Path) -> None:
    with RedisServer("--requirepass", "'open sesame'") as redis:
        redis.command("SET", "af:{0}:c:198.51.100.7", "1763805600000000", "EX", 3600, password="open sesame")
        done = run(
            "redis-backup", tmp_path, REDIS_HOST="127.0.0.1", REDIS_PORT=str(redis.port), REDISCLI_AUTH="open sesame"
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert stat.S_IMODE(one(tmp_path).stat().st_mode) == 0o600
    with RedisServer("--dir", str(tmp_path), "--dbfilename", one(tmp_path).name) as restored:
        assert restored.command("GET", "af:{0}:c:198.51.100.7") == b"1763805600000000"


def test_a_dump_of_the_ledger_is_restored_by_the_service(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = postgres.new_database("source"), postgres.new_database("target")
    store = PostgresStore(source)
    life = Life(1_763_805_600_000, 1_763_809_200_000)
    row = LedgerRow("issued", ID, life, None, "203.0.113.9", None)
    store.write([Lives([row])])
    store.close()
    done = run("ledger-backup", tmp_path, DATABASE_URL=source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert stat.S_IMODE(one(tmp_path).stat().st_mode) == 0o600
    monkeypatch.setenv("DATABASE_URL", target)
    assert main(["ledger", "restore", "--yes", str(one(tmp_path))]) == 0
    assert main(["ledger", "verify"]) == 0
    assert "1 events, 1 identities" in capsys.readouterr().out


def test_what_failed_takes_no_good_name_and_removes_nothing(tmp_path: Path, postgres: PostgresServer) -> None:
    with RedisServer() as redis:
        port = redis.port
    for component, name, environ in (
        ("redis-backup", "redis-20200101.rdb", {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(port)}),
        ("ledger-backup", "identity-20200101.dump", {"DATABASE_URL": postgres.url + "-that-is-not-there"}),
    ):
        directory = tmp_path / component
        directory.mkdir()
        old = directory / name
        old.touch()
        os.utime(old, (time.time() - LONG_AGO, time.time() - LONG_AGO))
        assert run(component, directory, **environ).returncode != 0
        assert {each.name for each in directory.iterdir()} <= {name, "unfinished"}
        assert old.exists()


def test_what_is_too_old_goes_once_there_is_a_new_one(tmp_path: Path) -> None:
    old, recent = tmp_path / "redis-20200101.rdb", tmp_path / "redis-20200102.rdb"
    for path in (old, recent):
        path.touch()
    os.utime(old, (time.time() - LONG_AGO - 86_400, time.time() - LONG_AGO - 86_400))
    with RedisServer() as redis:
        done = run("redis-backup", tmp_path, REDIS_HOST="127.0.0.1", REDIS_PORT=str(redis.port))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not old.exists()
    assert recent.exists()
    assert len(list(tmp_path.iterdir())) == 2
