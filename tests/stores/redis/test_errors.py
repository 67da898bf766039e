"""The message for each reason why Redis can't be used: of real sockets where possible."""

import errno
import logging
import os
import socket
import ssl
from pathlib import Path

import pytest

from arsenal_fast.stores.redis import errors
from arsenal_fast.stores.redis.backend import RedisBackend
from tests.support.certificates import good_pair
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.service import free_port

PATIENCE = 5.0  # seconds a connection may take

ERRORS: list[tuple[OSError | UnicodeError, str]] = [
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "its name is not known"),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "its name can't be looked up now"),
    (UnicodeError("label too long"), "its name is none"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "it refuses connections: nothing listens there"),
    (ConnectionResetError(errno.ECONNRESET, "Connection reset"), "it ends the connection at once"),
    (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "no connection in time"),
    (OSError(errno.EHOSTUNREACH, "No route to host"), "there is no route to its address"),
    (OSError(errno.ENETUNREACH, "Network is unreachable"), "there is no route to its address"),
    (PermissionError(errno.EACCES, "Permission denied"), "we are not allowed to connect to it"),
    (FileNotFoundError(errno.ENOENT, "No such file"), "its socket is not there"),
    (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "it speaks no TLS that we understand (is redis:// meant?)"),
    (OSError(errno.EMFILE, "Too many open files"), "no connection"),
]


@pytest.mark.parametrize(("error", "sentence"), ERRORS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_connection_that_fails_has_its_sentence(error: OSError | UnicodeError, sentence: str) -> None:
    assert errors.of_connect(error) == sentence


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("WRONGPASS", "it answers WRONGPASS: it refuses the user or the password"),
        ("NOPERM", "it answers NOPERM: its user may not do what we need"),
        ("ERR", "it answers ERR"),
        ("max number of clients", "it answers max number of clients"),
    ],
)
def test_an_error_reply_has_its_code_and_what_it_means(code: str, sentence: str) -> None:
    assert errors.of_reply(code) == sentence


def fault_of(url: str, timeout: float = PATIENCE) -> str:
    """Why the Redis of this URL can't be used, as the backend says."""

    async def main() -> str:
        backend = RedisBackend(url, timeout=timeout, jitter=lambda: 0.0)
        await backend.start()
        await until(lambda: backend.fault != "")
        fault = backend.fault
        await backend.close()
        return fault

    return run(main())


def test_a_fault_of_kernel_or_resolver_has_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    assert fault_of(f"redis://127.0.0.1:{free_port()}") == "it refuses connections: nothing listens there"
    assert fault_of(f"unix://{path}") == "its socket is not there"
    assert fault_of("redis://no-such-host.invalid").startswith("its name ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every socket")
def test_a_socket_without_permission_has_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0)
        assert fault_of(f"unix://{path}") == "we are not allowed to connect to it"


@pytest.mark.integration
def test_no_tls_and_untrusted_certificates_have_their_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, port = good_pair(tmp_path), free_port()
    options = ("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(pair.certificate))
    files = ("--tls-cert-file", str(pair.certificate), "--tls-key-file", str(pair.key))
    with RedisServer(*options, *files) as server:
        # Redis takes a ClientHello for the beginning of a command and waits for its end.
        assert fault_of(f"rediss://127.0.0.1:{server.port}", timeout=0.1) == "no connection in time"
        untrusted = fault_of(f"rediss://127.0.0.1:{port}")
        assert untrusted.startswith("its certificate is not trusted: self")
        monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
        # 127.1 is another name for the same address, and not in the certificate.
        assert fault_of(f"rediss://127.1:{port}") == "its certificate is not trusted: it is of another name"


@pytest.mark.integration
def test_a_database_that_redis_does_not_have_is_named_as_the_reason(own_redis: RedisServer) -> None:
    url = f"redis://127.0.0.1:{own_redis.port}/99"
    assert fault_of(url) == "it answers DB index is out of range: it has no database of the number in its URL"


@pytest.mark.integration
def test_another_reason_for_the_same_outage_is_logged_too(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        backend = RedisBackend(own_redis.url, timeout=PATIENCE, jitter=lambda: 0.0)
        await backend.start()
        own_redis.kill()
        await until(lambda: "refuses" in backend.fault)
        await backend.close()

    with caplog.at_level(logging.INFO, logger="arsenal_fast.stores.redis.connection"):
        run(main())
    assert [record.message for record in caplog.records] == [
        "Redis is unavailable: the connection is lost",
        "Redis is unavailable: it refuses connections: nothing listens there",
    ]
