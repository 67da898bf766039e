"""``arsenal-fast health``: checks the service on this machine; for containers without curl.

It asks ``/api/health/live``, which depends on nothing but the process, so that no orchestrator restarts a service
because its Redis is away. Exit status: 0 for a 200; 1 otherwise, with one sentence. It uses a socket and one line: an
HTTP client would double the time of a command that runs every few seconds.
"""

import argparse
import json
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from arsenal_fast.cli.arguments import Commands, add_command, add_json

if TYPE_CHECKING:
    import ssl

    from arsenal_fast.config.load import Config

TIMEOUT: Final = 2.0
"""Seconds for each step; an orchestrator has its own time-out for all of them."""

LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1", "localhost": "127.0.0.1"}  # noqa: S104 not listening
"""Addresses for a service that listens on several; it has one of IPv4 always."""

_REQUEST: Final = b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_VERSION: Final = len(b"HTTP/1.1 ")
_STATUS: Final = len(b"200")


def add_parser(commands: Commands, configuration: "Callable[[], Config]") -> None:
    """Add the command; ``configuration`` returns where the service listens, and may raise ConfigurationError."""
    parser = add_command(
        commands,
        "health",
        partial(_health, configuration=configuration),
        "ask the service of this machine whether it lives",
        "Ask the service that listens on HOST and PORT, or MANAGEMENT_PORT where that is set, whether it lives "
        "(exit status 0 or 1).",
    )
    add_json(parser)


def _health(given: argparse.Namespace, *, configuration: "Callable[[], Config]") -> int:
    config = configuration()
    fault = ask(LOOPBACK.get(config.host, config.host), config.management_port or config.port, tls=config.tls)
    if given.json:
        print(json.dumps({"alive": fault is None, "fault": fault}))
    elif fault is not None:
        print(fault, file=sys.stderr)
    return 0 if fault is None else 1


def ask(host: str, port: int, *, tls: bool = False) -> str | None:
    """Return None for a 200, else one sentence. With TLS the certificate is not checked: it is for the
    name that clients use, and a connection within this machine needs no proof."""
    where = f"{host} port {port}"
    try:
        with _connect(host, port, tls) as connection:
            connection.sendall(_REQUEST)
            answer = _receive(connection, _VERSION + _STATUS)
    except OSError as error:
        return f"{where} does not answer: {error.strerror or error}."
    status = answer[_VERSION:]
    if status == b"200":
        return None
    return f"{where} answers {status.decode('ascii', 'backslashreplace') or 'nothing'} and not 200."


def _connect(host: str, port: int, tls: bool) -> socket.socket:
    connection = socket.create_connection((host, port), TIMEOUT)
    return unverified().wrap_socket(connection) if tls else connection


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def unverified() -> "ssl.SSLContext":
    """Return a TLS context that takes any certificate."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
