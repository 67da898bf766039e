"""Writable and unusable ledgers: real SQLite files and a real PostgreSQL."""

import os
import pwd
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from arsenal_fast.cli.doctor.finding import Finding, Level
from arsenal_fast.cli.doctor.ledger import LARGE, LITTLE, Seen, examine, judge, network_of
from arsenal_fast.ledger import postgres, sqlite
from tests.cli.doctor.conftest import Configured
from tests.support.postgres_server import PostgresServer

FIXTURES = Path(__file__).parents[2] / "ledger" / "fixtures"


def found(configured: Configured, url: str, **variables: str) -> Finding:
    finding = examine(configured(DATABASE_URL=url, **variables), 0.1)
    assert finding.check == "ledger"
    assert bool(finding.mend) is (finding.level in (Level.WARN, Level.FAIL))
    return finding


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger in SQLite that no process uses."""
    path = tmp_path / "identity.db"
    sqlite.SqliteStore(str(path)).close()
    return path


def test_a_ledger_that_can_be_written_is_ok_and_stays_as_it_is(configured: Configured, path: Path) -> None:
    before = path.read_bytes()
    finding = found(configured, f"sqlite:///{path}")
    assert finding.level is Level.OK
    assert finding.text.startswith(f"SQLite, {path}, 0.")
    assert path.read_bytes() == before


def test_it_is_looked_at_while_it_is_written(configured: Configured, path: Path) -> None:
    with closing(sqlite.SqliteStore(str(path))):
        assert found(configured, f"sqlite:///{path}").level is Level.OK


def test_a_ledger_that_is_not_there_yet_is_ok_and_not_made(configured: Configured, tmp_path: Path) -> None:
    finding = found(configured, f"sqlite:///{tmp_path}/a/b/identity.db")
    assert (finding.level, finding.text.partition(",")[0]) == (Level.OK, f"will be made in {tmp_path}")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_a_file_fails(configured: Configured, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert found(configured, f"sqlite:///{tmp_path}/data/identity.db").level is Level.FAIL


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere, so become the user "nobody"; any other user lacks the permission anyway."""
    if os.geteuid() != 0:
        yield
        return
    nobody = pwd.getpwnam("nobody")
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(nobody.pw_gid)
    os.seteuid(nobody.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


# Mode of the directory, which file of it is meant, what is found.
FORBIDDEN = [
    (0o555, "identity.db", "the file of the ledger can't be written"),
    (0o555, "other.db", "no file can be made in"),
    (0o555, "data/other.db", "no file can be made in"),
    (0o000, "identity.db", "the file of the ledger can't be reached: Permission denied"),
]


@pytest.mark.parametrize(("mode", "name", "text"), FORBIDDEN)
def test_a_ledger_of_somebody_else_fails(configured: Configured, mode: int, name: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "identity.db"
        sqlite.SqliteStore(str(path)).close()
        path.chmod(0o444)
        Path(directory).chmod(mode)
        config = configured(DATABASE_URL=f"sqlite:///{directory}/{name}")
        with as_nobody():
            finding = examine(config, 0.1)
        Path(directory).chmod(0o755)
    assert finding.level is Level.FAIL
    assert text in finding.text
    assert "fsGroup" in finding.mend


def test_a_file_that_is_no_ledger_fails(configured: Configured, path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)
    assert found(configured, f"sqlite:///{path}").level is Level.FAIL


def test_a_ledger_of_a_newer_release_fails(configured: Configured, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = 99 WHERE name = 'version'")
    finding = found(configured, f"sqlite:///{path}")
    assert finding.level is Level.FAIL
    assert "schema version 99" in finding.text
    assert "Run the release that wrote it" in finding.mend


def test_a_ledger_of_an_older_release_is_ok_and_not_touched(configured: Configured, tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FIXTURES / "sqlite_1.sql").read_text())
    before = path.read_bytes()
    finding = found(configured, f"sqlite:///{path}")
    assert finding.level is Level.OK
    assert "of an older release" in finding.text
    assert path.read_bytes() == before


def test_a_ledger_that_somebody_keeps_locked_fails(configured: Configured, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        finding = found(configured, f"sqlite:///{path}")
    assert (finding.level, finding.text) == (Level.FAIL, "somebody else keeps the ledger locked.")


def test_no_ledger_is_warned_of_in_production_alone(configured: Configured) -> None:
    assert found(configured, "none").level is Level.WARN
    assert found(configured, "none", NODE_ENV="development").level is Level.SKIP


JUDGED = [
    (Seen("x", 5 << 20, free=LITTLE), False, 0, Level.OK, "x, 5.0 MiB, 256 MiB free"),
    (Seen("x", 0, free=LITTLE - 1), False, 0, Level.WARN, "nearly full"),
    (Seen("x", LARGE + 1), False, 0, Level.WARN, "grows for ever"),
    (Seen("x", LARGE + 1), True, 0, Level.OK, "x, 10240.0 MiB"),
    (Seen("x", LARGE + 1), False, 10, Level.OK, "x, 10240.0 MiB"),
    (Seen("x", 0, network="nfs4"), False, 0, Level.WARN, "nfs4 can't share"),
    (Seen("x", 1, events=79), True, 100, Level.OK, "x"),
    (Seen("x", 1, events=80), True, 100, Level.WARN, "80 of at most 100 events"),
    (Seen("x", 1 << 20, free=LITTLE), True, LITTLE // 512, Level.OK, "x"),
    (Seen("x", 1 << 20, free=LITTLE), True, LITTLE // 256, Level.WARN, "no room for the 1048576 events"),
]


@pytest.mark.parametrize(("seen", "pruned", "max_rows", "level", "text"), JUDGED)
def test_a_ledger_is_judged_by_size_room_and_file_system(
    seen: Seen, pruned: bool, max_rows: int, level: Level, text: str
) -> None:
    finding = judge(seen, pruned, max_rows)
    assert finding.level is level
    assert text in finding.text


MOUNTS = """\
overlay / overlay rw 0 0
server:/export /srv nfs4 rw 0 0
/dev/sdb /srv/local ext4 rw 0 0
server:/export /my\\040data nfs rw 0 0
s3fs /bucket fuse.s3fs rw 0 0
scratch /scratch lustre rw 0 0
/dev/sdc /cluster gfs2 rw 0 0
host0 /shared virtiofs rw 0 0
/dev/sdd /usb fuseblk rw 0 0
fuse-overlayfs /rootless fuse.fuse-overlayfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/app/data/identity.db", ""),
        ("/srv", "nfs4"),
        ("/srv/x/identity.db", "nfs4"),
        ("/srv/local/identity.db", ""),
        ("/srvx/identity.db", ""),
        ("/my data/identity.db", "nfs"),
        ("/bucket/identity.db", "fuse.s3fs"),
        ("/scratch/identity.db", "lustre"),
        ("/cluster/identity.db", "gfs2"),
        ("/shared/identity.db", "virtiofs"),
        ("/usb/identity.db", ""),
        ("/rootless/identity.db", ""),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert network_of(path, iter(MOUNTS.splitlines())) == kind


@pytest.fixture
def url(postgres_server: PostgresServer) -> str:
    """An empty database."""
    return postgres_server.new_database("doctor")


@pytest.mark.integration
def test_an_empty_postgresql_is_ok_and_stays_empty(
    configured: Configured, postgres_server: PostgresServer, url: str
) -> None:
    finding = found(configured, url)
    assert finding.level is Level.OK
    assert "doctor at 127.0.0.1" in finding.text
    assert postgres_server.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'arsenal_ledger'", url) == []


@pytest.mark.integration
def test_a_postgresql_with_a_ledger_is_ok_and_tells_its_size(configured: Configured, url: str) -> None:
    postgres.PostgresStore(url).close()
    finding = found(configured, url)
    assert finding.level is Level.OK
    assert "0.1 MiB" in finding.text


@pytest.mark.integration
def test_a_postgresql_of_a_newer_release_fails(
    configured: Configured, postgres_server: PostgresServer, url: str
) -> None:
    postgres.PostgresStore(url).close()
    postgres_server.execute("UPDATE arsenal_ledger.meta SET value = 99 WHERE name = 'version'", url)
    finding = found(configured, url)
    assert finding.level is Level.FAIL
    assert "schema version 99" in finding.text


@pytest.mark.integration
def test_a_postgresql_that_can_only_be_read_fails(
    configured: Configured, postgres_server: PostgresServer, url: str
) -> None:
    postgres.PostgresStore(url).close()
    postgres_server.execute("ALTER DATABASE doctor SET default_transaction_read_only = on", url)
    finding = found(configured, url)
    assert (finding.level, finding.text) == (Level.FAIL, "PostgreSQL can only be read.")


@pytest.mark.integration
def test_a_user_who_may_not_create_fails(configured: Configured, postgres_server: PostgresServer, url: str) -> None:
    postgres_server.execute("DROP ROLE IF EXISTS reader")
    postgres_server.execute("CREATE ROLE reader LOGIN PASSWORD 'reads0nly'")
    finding = found(configured, f"postgresql://reader:reads0nly@127.0.0.1:{postgres_server.port}/doctor")
    assert finding.level is Level.FAIL
    assert "does not let this user" in finding.text
    assert "reads0nly" not in str(finding)


def test_a_parameter_that_libpq_refuses_is_mended_in_the_url(configured: Configured) -> None:
    finding = found(configured, "postgresql://u@127.0.0.1:1/identity?sslmode=lax")
    assert finding == Finding(
        "ledger",
        Level.FAIL,
        "PostgreSQL's client library refuses the parameter sslmode of the URL.",
        "Correct the parameters of DATABASE_URL.",
    )


@pytest.mark.integration
def test_a_wrong_password_a_missing_database_and_no_server_fail(
    configured: Configured, postgres_server: PostgresServer
) -> None:
    place = f"127.0.0.1:{postgres_server.port}"
    texts = [
        found(configured, url).text
        for url in (
            f"postgresql://ledger:wr0ng@{place}/postgres",
            postgres_server.url.removesuffix("postgres") + "nowhere",
            "postgresql://127.0.0.1:1/identity",
        )
    ]
    assert texts == [
        "PostgreSQL refuses the user or the password.",
        "PostgreSQL has no such database, user or table.",
        "PostgreSQL refuses connections: nothing listens there.",
    ]
