"""The reason why Redis or the ledger can't be used, in the log and in /api/health."""

import os
from pathlib import Path

import pytest

from tests.support.certificates import Pair, good_pair
from tests.support.http_client import Client, request
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import ServiceProcess, environment, free_port

pytestmark = pytest.mark.integration

HEALTH = request("GET", "/api/health")


def reasons(service: ServiceProcess) -> dict[str, str]:
    async def main() -> dict[str, str]:
        async with await Client.open(service.port) as client:
            answer = await client.ask(HEALTH)
            assert answer.status == 200
            told: dict[str, str] = answer.json.get("reasons", {})
            return told

    return run(main())


def test_nothing_that_the_tests_start_trusts_what_the_shell_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/of/the/shell")
    monkeypatch.setenv("SSL_CERT_DIR", "/of/the/shell")
    assert not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & environment().keys()


def test_no_test_has_what_the_shell_trusts() -> None:
    assert not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys()


def tls_redis(pair: Pair, port: int) -> RedisServer:
    options = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(pair.certificate))
    return RedisServer(*options, "--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key))


def test_an_untrusted_certificate_of_redis_is_reported(tmp_path: Path) -> None:
    pair, port = good_pair(tmp_path), free_port()
    url = f"rediss://127.0.0.1:{port}"
    with tls_redis(pair, port):
        with ServiceProcess(REDIS_URL=url, REDIS_TIMEOUT_MS="5000") as service:
            service.wait_for_log("Redis is unavailable: its certificate is not trusted: self")
            assert reasons(service)["redis"].startswith("its certificate is not trusted: self")
        with ServiceProcess(REDIS_URL=url, REDIS_TIMEOUT_MS="5000", SSL_CERT_FILE=str(pair.certificate)) as service:
            assert reasons(service) == {}


def test_a_wrong_password_and_a_port_without_a_server_are_reported() -> None:
    with (
        RedisServer("--requirepass", "hunter2") as redis,
        ServiceProcess(REDIS_URL=f"redis://:wrong@127.0.0.1:{redis.port}") as service,
    ):
        service.wait_for_log("it refuses the user or the password")
        assert reasons(service) == {"redis": "it answers WRONGPASS: it refuses the user or the password"}
    database = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/identity"
    with ServiceProcess(REDIS_URL=f"redis://127.0.0.1:{free_port()}", DATABASE_URL=database) as service:
        service.wait_for_log("PostgreSQL refuses connections")
        assert reasons(service) == {
            "redis": "it refuses connections: nothing listens there",
            "database": "PostgreSQL refuses connections: nothing listens there.",
        }
        assert "hunter2" not in service.stderr
