"""Backup and restore: an identity issued before a backup is there after all other state is lost.

Redis, SQLite, PostgreSQL and the service are real. What is unreal: for ``compose`` and ``kubectl`` a stand-in on the
PATH takes the arguments that the scripts give to Docker and Kubernetes, checks that they are known ones, and runs
the command on this machine; no container is entered.
"""

import http.client
import json
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from tests.support.redis_server import RedisServer
from tests.support.service import PROGRAM, REPLICA, ServiceProcess

SCRIPTS = Path(__file__).parents[2] / "scripts"
PASSWORD = "p@ss:w/rd%5C\\1"  # every character that may lack quoting

CHECK = pytest.mark.deploy("a backup under load, all lost, restored", tool="redis-cli, redis-server, pg_dump")

BEFORE = 300  # identities that are answered before the backup begins
DURING = 30  # and at least so many more before it may end

Identity = dict[str, Any]

STANDINS = {
    "docker": """#!/usr/bin/env bash
[[ "$1 $2 $3" == "compose exec -T" ]] && { [[ $4 == redis ]] || [[ $4 == identity-service ]]; } || exit 64
place=$4; shift 4
""",
    "kubectl": """#!/usr/bin/env bash
if [[ $* == "get statefulset,deployment -o name" ]]; then
    printf 'deployment.apps/identity-service\\nstatefulset.apps/redis-master\\n'; exit
fi
[[ "$1 $2" == "exec -i" ]] || set -- exec -i "${@:2}" </dev/null # without -i there is no stdin
[[ "$1 $2 $4" == "exec -i --" ]] || exit 64
case $3 in
statefulset.apps/redis-master) place=redis ;;
deployment/identity-service) place=service ;;
*) exit 64 ;;
esac
shift 4
""",
}
IN_A_CONTAINER = """
if [[ $place == redis ]]; then export REDIS_PASSWORD=$STANDIN_REDIS; else export DATABASE_URL=$STANDIN_DATABASE; fi
exec "$@"
"""


class LockedRedis(RedisServer):
    """One with a password."""

    def __init__(self) -> None:
        super().__init__("--requirepass", shlex.quote(PASSWORD), "--enable-debug-command", "yes")

    def command(self, *arguments: str | bytes | int, password: str = PASSWORD) -> object:
        return super().command(*arguments, password=password)

    @property
    def is_primary(self) -> bool:
        replication = self.command("INFO", "replication")
        return isinstance(replication, bytes) and b"role:master" in replication


class World:
    """A Redis and a ledger, and the environment of the scripts for them."""

    def __init__(self, redis: LockedRedis, ledger: str, place: str, directory: Path) -> None:
        self.redis = redis
        self.ledger = ledger
        self.redis_url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{redis.port}/1"
        self.backups = directory / "backups"
        self._place = place
        self._programs = programs = directory / "bin"
        programs.mkdir()
        _write(programs / "arsenal-fast", f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
        for name, text in STANDINS.items():
            _write(programs / name, text + IN_A_CONTAINER)
        self._env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        if place == "local":
            self._env |= {"REDIS_URL": self.redis_url, "DATABASE_URL": ledger}
        else:
            self._env |= {"REDIS_PORT": str(redis.port), "STANDIN_REDIS": PASSWORD, "STANDIN_DATABASE": ledger}

    def service(self, **variables: str) -> ServiceProcess:
        limits = {"RATE_LIMIT_REQUESTS": "0", **REPLICA}
        return ServiceProcess(**{"REDIS_URL": self.redis_url, "DATABASE_URL": self.ledger, **limits, **variables})

    def run(self, script: str, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        command = [str(SCRIPTS / script), *arguments]
        env = {**self._env, **variables}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    def replace_program(self, name: str, text: str) -> None:
        """Put a stand-in on the PATH of the scripts."""
        _write(self._programs / name, text)

    def shell(self, commands: str, directory: Path) -> "subprocess.CompletedProcess[str]":
        command = ["bash", "-euo", "pipefail", "-c", commands]
        return subprocess.run(
            command, env=self._env, cwd=directory, capture_output=True, text=True, timeout=60, check=False
        )

    def backup(self, *parts: str) -> Path:
        done = self.run("backup.sh", self._place, str(self.backups), *parts)
        assert done.returncode == 0, done.stderr
        (name,) = done.stdout.splitlines()
        return Path(name)

    def restore(self, backup: Path, *parts: str) -> None:
        done = self.run("restore.sh", "--yes", self._place, str(backup), *parts)
        assert done.returncode == 0, done.stderr

    def destroy(self) -> None:
        """Lose all data of Redis and of the ledger."""
        self.redis.kill()
        self.redis.start()
        assert self.redis.command("DBSIZE", password=PASSWORD) == 0
        self.destroy_ledger()

    def destroy_ledger(self) -> None:
        if self.ledger.startswith("sqlite"):
            path = Path(self.ledger.removeprefix("sqlite:///"))
            for file in path.parent.iterdir():
                file.unlink()
            path.parent.rmdir()
        else:
            with psycopg.connect(self.ledger, autocommit=True) as connection:
                connection.execute("DROP SCHEMA arsenal_ledger CASCADE")


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def redis() -> Iterator[LockedRedis]:
    with LockedRedis() as server:
        yield server


def issue(service: ServiceProcess, runs: Iterator[int], enough: Callable[[list[Identity]], bool]) -> list[Identity]:
    """What one client is answered until it has enough."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    answers: list[Identity] = []
    while not enough(answers):
        connection.request("GET", f"/api/v1/id?prefix=player&run={next(runs)}&ttl=86400")
        answer = connection.getresponse()
        assert answer.status == 200
        answers.append(json.load(answer))
    connection.close()
    return answers


def verdicts(service: ServiceProcess, identities: list[Identity], *members: str) -> list[Identity]:
    """What ``validate`` says of each identity."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    found = []
    for identity in identities:
        body = {"identity": identity["id"]} | {member: identity[member] for member in members}
        connection.request("POST", "/api/v1/validate", json.dumps(body), {"Content-Type": "application/json"})
        found.append(json.load(connection.getresponse()))
    connection.close()
    return found


def holds_all(service: ServiceProcess, identities: list[Identity], *members: str) -> None:
    """Each identity is active, and is the life that was answered."""
    lost = [
        (identity["id"], verdict)
        for identity, verdict in zip(identities, verdicts(service, identities, *members), strict=True)
        if verdict["status"] != "active"
        or any(verdict[member] != identity[member] for member in ("generated", "expires"))
    ]
    assert lost == []


def revoke(service: ServiceProcess, identity: Identity) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    body = json.dumps({"identity": identity["id"], "token": identity["token"]})
    connection.request("POST", "/api/v1/revoke", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


@CHECK
@pytest.mark.integration
@pytest.mark.parametrize("place", ["local", "compose", "kubectl"])
def test_every_identity_answered_before_a_backup_under_load_is_there_after_all_was_lost(
    redis: LockedRedis, ledger_url: str, place: str, tmp_path: Path
) -> None:
    world = World(redis, ledger_url, place, tmp_path)
    runs = iter(range(10**9))
    finished = threading.Event()
    during: list[Identity] = []
    with world.service() as service:
        before = issue(service, runs, lambda answers: len(answers) >= BEFORE)
        revoked, before = before[:3], before[3:]
        for identity in revoked:
            revoke(service, identity)
        load = threading.Thread(
            target=lambda: during.extend(
                issue(service, runs, lambda answers: finished.is_set() and len(answers) >= DURING)
            )
        )
        load.start()
        backup = world.backup()
        finished.set()
        load.join()
    assert len(during) >= DURING
    world.destroy()
    with world.service() as service:  # nothing is left, or this test would prove nothing
        assert {verdict["status"] for verdict in verdicts(service, before)} == {"unknown"}
    world.destroy()

    world.restore(backup)
    with world.service() as service:
        holds_all(service, before, "token")
        again = issue(service, iter(range(3, BEFORE)), lambda answers: len(answers) >= BEFORE - 3)
        assert again == before  # the same life with its token, for the same request
        assert {verdict["status"] for verdict in verdicts(service, revoked)} == {"revoked"}
    assert redis.command("CONFIG", "GET", "masterauth") == [b"masterauth", b""]
    assert redis.is_primary


@CHECK
@pytest.mark.integration
def test_each_part_of_a_backup_is_enough_by_itself(redis: LockedRedis, sqlite_url: str, tmp_path: Path) -> None:
    world = World(redis, sqlite_url, "local", tmp_path)
    with world.service() as service:
        before = issue(service, iter(range(50)), lambda answers: len(answers) == 50)
        backup = world.backup()
    world.destroy()
    world.restore(backup, "redis")
    with world.service(DATABASE_URL="none") as service:
        holds_all(service, before)
    world.redis.kill()
    world.redis.start()
    assert redis.command("DBSIZE") == 0  # this one keeps nothing on its disk, what was restored neither
    assert redis.command("CONFIG", "GET", "rdb-del-sync-files") == [b"rdb-del-sync-files", b"no"]
    world.restore(backup, "ledger")
    with world.service() as service:
        holds_all(service, before)


@CHECK
@pytest.mark.integration
def test_a_restore_while_the_service_runs_brings_everything_back(
    redis: LockedRedis, sqlite_url: str, tmp_path: Path
) -> None:
    world = World(redis, sqlite_url, "local", tmp_path)
    with world.service() as service:
        before = issue(service, iter(range(50)), lambda answers: len(answers) == 50)
    backup = world.backup()
    world.destroy()
    with world.service() as service:
        world.restore(backup)
        # It got READONLY for a moment, and uses Redis again within a second.
        for _ in range(1000):
            with suppress(AssertionError):
                holds_all(service, before)
                break
        holds_all(service, before)


@CHECK
@pytest.mark.integration
def test_an_append_only_file_has_what_was_restored(redis: LockedRedis, sqlite_url: str, tmp_path: Path) -> None:
    world = World(redis, sqlite_url, "local", tmp_path)
    with world.service() as service:
        before = issue(service, iter(range(20)), lambda answers: len(answers) == 20)
        backup = world.backup("redis")
    assert not (backup / "ledger").exists()
    world.destroy()
    redis.command("CONFIG", "SET", "appendonly", "yes")
    world.restore(backup)
    assert redis.command("DEBUG", "LOADAOF") == b"OK"
    with world.service(DATABASE_URL="none") as service:
        holds_all(service, before)


@CHECK
@pytest.mark.integration
@pytest.mark.parametrize(
    "variables",
    [
        {"REDISCLI_AUTH": "w0rd"},
        {"REDIS_PASSWORD": "w0rd"},
        {"REDIS_URL": "redis://:w0rd@redis:6379/1"},
        {"REDIS_URL": "redis://arsenal:w0rd@redis"},
    ],
)
def test_the_password_comes_from_the_environment_of_redis(variables: dict[str, str]) -> None:
    with RedisServer("--requirepass", "w0rd") as server:
        command = [str(SCRIPTS / "redis-save.sh"), "-p", str(server.port)]
        done = subprocess.run(
            command, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, timeout=20, check=False
        )
    assert done.stdout.startswith(b"REDIS"), done.stderr


SLOW_TO_STOP = """#!/bin/sh
# A redis-server that looks at its log once more after SIGTERM.
exec 3<&0
{real} "$@" <&3 &
trap 'kill $!; wait $!; grep -q . {directory}/redis-load.*/log && echo stopped >{note}' TERM
wait $!
"""


@CHECK
@pytest.mark.integration
def test_a_restore_ends_after_its_second_redis_and_removes_its_files(world: World, tmp_path: Path) -> None:
    backup = world.backup()
    note, temporary = tmp_path / "note", tmp_path / "tmp"
    temporary.mkdir()
    world.replace_program(
        "redis-server", SLOW_TO_STOP.format(real=shutil.which("redis-server"), directory=temporary, note=note)
    )
    done = world.run("restore.sh", "--yes", "local", str(backup), "redis", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert note.read_text() == "stopped\n", "its log was still there when the second Redis had stopped"
    assert list(temporary.iterdir()) == []


# What must not be taken for done.


@pytest.fixture
def world(redis: LockedRedis, sqlite_url: str, tmp_path: Path) -> World:
    """With a ledger, empty."""
    made = World(redis, sqlite_url, "local", tmp_path)
    with made.service():
        pass
    return made


@CHECK
@pytest.mark.integration
def test_a_backup_that_fails_leaves_nothing_that_looks_like_one(world: World) -> None:
    world.redis.kill()
    done = world.run("backup.sh", "local", str(world.backups))
    assert done.returncode == 1
    assert "Redis could not be backed up" in done.stderr
    assert list(world.backups.iterdir()) == []
    world.redis.start()
    world.destroy_ledger()
    done = world.run("backup.sh", "local", str(world.backups))
    assert done.returncode == 1
    assert "the ledger could not be backed up" in done.stderr
    assert list(world.backups.iterdir()) == []
    assert PASSWORD not in done.stdout + done.stderr


@CHECK
@pytest.mark.integration
def test_a_damaged_backup_changes_nothing(world: World) -> None:
    backup = world.backup()
    world.redis.command("SET", "still", "here")
    octets = bytearray((backup / "redis.rdb").read_bytes())
    octets[-60] ^= 1
    (backup / "redis.rdb").write_bytes(octets)
    done = world.run("restore.sh", "--yes", "local", str(backup))
    assert done.returncode == 1
    assert "is damaged: nothing was changed" in done.stderr
    # And with matching sums: Redis's own checksum fails.
    subprocess.run("sha256sum ledger redis.rdb > SHA256SUMS", shell=True, cwd=backup, check=True)
    done = world.run("restore.sh", "--yes", "local", str(backup), "redis")
    assert done.returncode == 1
    assert "the file can't be loaded" in done.stderr
    assert world.redis.command("GET", "still") == b"here"
    assert world.redis.is_primary


REFUSED = [
    (("local",), "this replaces all"),
    (("--yes", "local"), "usage: "),
    (("--yes", "local", "/nowhere"), "is no whole backup"),
    (("--yes", "moon", "BACKUP"), "local, compose or kubectl"),
]


@CHECK
@pytest.mark.integration
@pytest.mark.parametrize(("arguments", "text"), REFUSED)
def test_what_is_not_meant_is_refused(world: World, arguments: tuple[str, ...], text: str) -> None:
    backup = str(world.backup()) if "BACKUP" in arguments else ""
    done = world.run("restore.sh", *(backup if each == "BACKUP" else each for each in arguments))
    assert done.returncode == 1
    assert text in done.stderr


@CHECK
@pytest.mark.integration
def test_the_local_commands_of_the_page_run_as_they_stand(world: World, tmp_path: Path) -> None:
    page = (SCRIPTS.parent / "docs" / "backup.md").read_text()
    commands = page.split("```bash\n")[1].split("```")[0]
    assert commands.count("local") == 3
    (tmp_path / "scripts").symlink_to(SCRIPTS)
    done = world.shell(commands, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the ledger is sound" in done.stdout


@CHECK
@pytest.mark.integration
def test_the_pages_command_for_a_ledger_in_kubernetes_writes_one(
    redis: LockedRedis, sqlite_url: str, tmp_path: Path
) -> None:
    world = World(redis, sqlite_url, "kubectl", tmp_path)
    with world.service() as service:
        issue(service, iter(range(3)), lambda answers: len(answers) == 3)
    page = (SCRIPTS.parent / "docs" / "backup.md").read_text()
    (command,) = [line for line in page.splitlines() if "ledger backup -" in line]
    (tmp_path / "backups").mkdir()
    done = world.shell(command, tmp_path)
    assert done.returncode == 0, done.stderr
    (copy,) = (tmp_path / "backups").iterdir()
    assert "3 identities" in world.shell(f"DATABASE_URL=sqlite:///{copy} arsenal-fast ledger verify", tmp_path).stdout
