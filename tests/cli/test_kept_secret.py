"""The secret of a service in development is kept beside the ledger, for its user alone."""

import stat
from pathlib import Path

import pytest

from arsenal_fast.cli import kept_secret
from arsenal_fast.config.load import load
from tests.support.configuration import PRODUCTION
from tests.support.service import ServiceProcess, command


def test_a_secret_is_drawn_once_and_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "identity.db.secret"
    drawn = kept_secret.read_or_draw(path)
    assert drawn is not None
    assert len(drawn.reveal()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept_secret.read_or_draw(path) == kept_secret.read(path) == drawn


def test_where_no_file_can_be_made_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert kept_secret.read_or_draw(tmp_path / "file" / "secret") is None
    assert kept_secret.read(tmp_path / "none") is None


def test_it_is_beside_an_sqlite_ledger_and_not_in_production() -> None:
    assert kept_secret.path_of(load({"DATABASE_URL": "sqlite:////var/x/identity.db"})) == Path(
        "/var/x/identity.db.secret"
    )
    assert kept_secret.path_of(load({"DATABASE_URL": "none"})) is None
    assert kept_secret.path_of(load({**PRODUCTION, "DATABASE_URL": "sqlite:////var/x/identity.db"})) is None


@pytest.mark.integration
def test_tokens_survive_a_restart_in_development(tmp_path: Path) -> None:
    url = {"DATABASE_URL": f"sqlite:///{tmp_path}/identity.db"}
    with ServiceProcess(**url) as first:
        token = command("id", "--json", "--url", first.url).stdout
        assert f"kept in {tmp_path}/identity.db.secret" in first.stderr
        assert f"open http://localhost:{first.port}" in first.stderr
        assert "100 requests in 3600 s for each client" in first.stderr
    inspected = command(
        "token", "inspect", token.split('"token": "')[1].split('"')[0], env={**url, "PORT": str(first.port)}
    )
    assert inspected.returncode == 0, inspected.stdout + inspected.stderr
