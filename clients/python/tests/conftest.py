"""A service that runs for the tests, and a client whose answers are scripted."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.support.service import REPLICA, ServiceProcess

ROOT: Final = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Ed25519 key of the service, which it signs identity tokens with."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path = tmp_path_factory.mktemp("keys") / "identity.pem"
    path.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


@pytest.fixture(scope="session")
def service(key_file: Path) -> Iterator[ServiceProcess]:
    """The service, with public keys and a limit of 100 requests an hour for the address."""
    variables = {**REPLICA, "JWT_PRIVATE_KEY": str(key_file), "PYTHONPATH": str(ROOT)}
    with ServiceProcess(program=(sys.executable, "-m", "arsenal_fast"), **variables) as running:
        yield running


@pytest.fixture(scope="session")
def service_token(key_file: Path) -> str:
    """A service token of the scopes ``issue`` and ``revoke``, with a limit of its own."""
    from tests.support.service import command

    arguments = ("--subject", "python-client", "--scope", "issue,revoke", "--rate-limit", "100000", "--days", "1")
    done = command("token", *arguments, env={**REPLICA, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
