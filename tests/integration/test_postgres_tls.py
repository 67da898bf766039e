"""PostgreSQL's certificate is checked with the certificates of this system, also by the libpq of psycopg's wheel."""

import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from arsenal_fast.ledger import postgres
from arsenal_fast.ledger.backup import backup, restore
from arsenal_fast.ledger.errors import StoreError, Unavailable, Unfit
from arsenal_fast.ledger.postgres import PostgresStore
from tests.support.certificates import Authority, make_pair
from tests.support.ledger import put, row
from tests.support.postgres_server import PostgresServer

pytestmark = pytest.mark.integration


class Secured(NamedTuple):
    """A server whose certificate is of ``localhost``, and the file of the authority that signed it."""

    url: str
    authority: Path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory)
    pair = authority.sign("localhost")
    with PostgresServer(tls=pair) as server:
        yield Secured(server.url.replace("127.0.0.1", "localhost"), authority.certificate)


@pytest.fixture
def system(secured: Secured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A system that trusts the authority, where no variable says so."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=None))
    monkeypatch.setattr(postgres, "BUNDLES", ("/nowhere.pem", str(secured.authority)))


@pytest.mark.parametrize(
    "query", ["sslmode=verify-full&sslrootcert=system", "sslrootcert=system", "sslmode=verify-full"]
)
@pytest.mark.usefixtures("system")
def test_the_certificates_of_the_system_are_those_that_count(secured: Secured, query: str) -> None:
    with closing(PostgresStore(f"{secured.url}?{query}")) as store:
        ((encrypted,),) = store.read("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert encrypted is True
        put(store, row(1))


@pytest.mark.usefixtures("system")
def test_a_backup_checks_the_certificate_likewise(secured: Secured, tmp_path: Path) -> None:
    """Also with the pg_dump of PostgreSQL 15, which takes ``system`` for a file."""
    url = f"{secured.url}?sslmode=verify-full&sslrootcert=system"
    PostgresStore(url).close()
    backup(url, str(tmp_path / "backup"))
    restore(url, str(tmp_path / "backup"))


@pytest.mark.usefixtures("system")
def test_another_name_in_the_certificate_is_refused_although_its_authority_is_known(secured: Secured) -> None:
    with pytest.raises(Unavailable, match="of another name"):
        PostgresStore(f"{secured.url.replace('localhost', '127.0.0.1')}?sslrootcert=system")


def test_an_authority_that_the_system_does_not_know_is_refused_with_the_reason(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for query in ("sslrootcert=system", "sslmode=verify-full"):
        with pytest.raises(Unavailable, match=r"certificate is not trusted: no authority in sslrootcert has signed it"):
            PostgresStore(f"{secured.url}?{query}")


@pytest.mark.usefixtures("system")
def test_a_weaker_mode_with_the_system_s_certificates_is_unfit(secured: Secured) -> None:
    for mode in ("require", "verify-ca"):
        with pytest.raises(Unfit, match="needs sslmode=verify-full"):
            PostgresStore(f"{secured.url}?sslrootcert=system&sslmode={mode}")


def test_a_file_that_the_url_names_is_the_only_one(secured: Secured, tmp_path: Path) -> None:
    with closing(PostgresStore(f"{secured.url}?sslmode=verify-full&sslrootcert={secured.authority}")) as store:
        store.ping()
    with pytest.raises(StoreError, match="not there"):
        PostgresStore(f"{secured.url}?sslmode=verify-full&sslrootcert={tmp_path}/absent.pem")


def test_a_certificate_whose_time_is_over_is_refused_with_the_reason(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("expired")
    end = datetime.now(UTC) - timedelta(days=1)
    pair = make_pair(directory, end - timedelta(days=90), end)
    with PostgresServer(tls=pair) as server:
        url = f"{server.url}?sslmode=verify-full&sslrootcert={pair.certificate}"
        with pytest.raises(Unavailable, match=r"^PostgreSQL's certificate is not trusted: [^.]+ or it has expired\.$"):
            PostgresStore(url)
