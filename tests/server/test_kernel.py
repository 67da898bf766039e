"""The kernel's figures of a socket and of this process's descriptors."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from arsenal_fast.server.kernel import has_descriptors, unacknowledged

SMALL = 4096
"""Bytes of a buffer; the kernel doubles it."""


class SocketTransport(asyncio.Transport):
    """A stub with a socket."""

    def __init__(self, sock: socket.socket | None) -> None:
        super().__init__({} if sock is None else {"socket": sock})


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection over small buffers, neither of which waits."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        with socket.create_connection(listening.getsockname()) as here, listening.accept()[0] as there:
            here.setblocking(False)
            yield here, there


def fill(sock: socket.socket) -> int:
    """Send until the kernel takes no more; the number of bytes."""
    sent = 0
    try:
        while True:
            sent += sock.send(bytes(SMALL))
    except BlockingIOError:
        return sent


def test_what_a_client_does_not_read_is_not_acknowledged() -> None:
    with connected() as (here, there):
        transport = SocketTransport(here)
        assert unacknowledged(transport) == 0
        sent = fill(here)
        assert 0 < unacknowledged(transport) <= sent
        there.settimeout(10)
        left = sent
        while left:
            left -= len(there.recv(SMALL))
        # What was read last has been acknowledged, or its acknowledgement is on its way through the loopback.
        assert unacknowledged(transport) < sent


def test_a_transport_without_a_socket_and_one_that_was_closed_have_nothing_unread() -> None:
    assert unacknowledged(SocketTransport(None)) == 0
    with connected() as (here, _):
        transport = SocketTransport(here)
        fill(here)
        here.close()
        assert unacknowledged(transport) == 0


def test_a_process_that_may_open_no_file_knows_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert has_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert not has_descriptors()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("number", "found"), [(errno.EMFILE, False), (errno.ENFILE, False), (errno.EACCES, True)])
def test_only_a_lack_of_descriptors_counts(number: int, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "refused")

    monkeypatch.setattr(os, "open", refuse)
    assert has_descriptors() is found
