"""``arsenal-fast health``: the verdict of a container's health check."""

import contextlib
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from arsenal_fast.cli import health as health_command
from arsenal_fast.cli.main import main
from tests.support.service import ServiceProcess, command, free_port


@contextlib.contextmanager
def server(*pieces: bytes) -> Iterator[int]:
    """Answers any request on one connection with these bytes, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_service_that_says_200_is_well() -> None:
    with server(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        assert health_command.ask("127.0.0.1", port) is None


def test_the_status_may_come_in_pieces() -> None:
    with server(b"HTTP/1.", b"1 2", b"00 OK\r\n\r\n") as port:
        assert health_command.ask("127.0.0.1", port) is None


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "answers 503 and not 200"),
        (b"", "answers nothing and not 200"),
        (b"HTTP/1.1 2", "answers 2 and not 200"),
        (b"\x15\x03\x01\x00\x02\x02\x46\xff\xff\xff\xff\xff", r"answers \xff\xff\xff and not 200"),
    ],
)
def test_whatever_else_is_said_is_told_in_one_sentence(octets: bytes, told: str) -> None:
    with server(octets) as port:
        fault = health_command.ask("127.0.0.1", port)
    assert fault is not None
    assert told in fault


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.delenv("HOST", raising=False)
    assert main(["health"]) == 1
    assert capsys.readouterr().err == f"127.0.0.1 port {port} does not answer: Connection refused.\n"


def test_who_does_not_answer_in_time_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_command, "TIMEOUT", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, no process reads
        fault = health_command.ask("127.0.0.1", silent.getsockname()[1])
    assert fault is not None
    assert "does not answer: timed out" in fault


@pytest.mark.integration
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "localhost", "::1"])
def test_the_running_service_is_found_where_it_listens(host: str) -> None:
    with ServiceProcess(HOST=host) as service:
        done = command("health", env={"HOST": host, "PORT": str(service.port)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.integration
@pytest.mark.parametrize("host", ["::", "localhost"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_service_is_found_by_both_families_unless_its_address_is_of_one(address: str, host: str) -> None:
    with ServiceProcess(HOST=host) as service:
        assert health_command.ask(address, service.port) is None


@pytest.mark.integration
def test_a_service_with_tls_is_asked_by_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named: list[str | Path] = ["-subj", "/CN=identity.api.yourbook.com", "-keyout", key, "-out", certificate]
    subprocess.run([*made, *named], check=True, capture_output=True)
    tls = {"TLS_CERT_FILE": str(certificate), "TLS_KEY_FILE": str(key)}
    with ServiceProcess(**tls) as service:
        where = {"HOST": "127.0.0.1", "PORT": str(service.port)}
        assert command("health", env={**where, **tls}).returncode == 0
        assert command("health", env=where).returncode == 1, "an answer to plain text is not taken for one"


def test_a_program_gets_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOST", "127.0.0.1")
    with server(b"HTTP/1.1 200 OK\r\n\r\n") as port:
        monkeypatch.setenv("PORT", str(port))
        assert main(["health", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"alive": True, "fault": None}
    assert main(["health", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["fault"] == f"127.0.0.1 port {port} does not answer: Connection refused."
    assert told.err == ""
