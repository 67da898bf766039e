"""Binding the address of a service, alone or beside its other workers, and reserving it."""

import errno
import socket
import sys
from contextlib import closing

import pytest

from arsenal_fast.config.load import Config, load
from arsenal_fast.server import listen_socket
from tests.support.service import free_port


def config(**environ: str) -> Config:
    return load({"HOST": "127.0.0.1", "PORT": str(free_port()), **environ})


def refused(bound: Config, *, shared: bool) -> bool:
    try:
        listen_socket.bind(bound, shared=shared).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [(True, True, False), (True, False, True), (False, True, True), (False, False, True)],
)
def test_who_may_bind_beside_a_socket_that_listens(first: bool, second: bool, is_refused: bool) -> None:
    where = config()
    with listen_socket.bind(where, shared=first) as listening:
        listening.listen()
        assert refused(where, shared=second) is is_refused


def test_connections_that_are_left_of_a_predecessor_are_not_in_the_way() -> None:
    where = config()
    with listen_socket.bind(where, shared=True) as listening:
        listening.listen()
        with socket.create_connection(("127.0.0.1", where.port)) as client:
            accepted, _ = listening.accept()
            accepted.close()  # first, so that TIME_WAIT is on this side
            assert client.recv(1) == b""
    assert not refused(where, shared=False)


@pytest.mark.skipif(sys.platform != "linux", reason="has no abstract unix sockets")
def test_a_reservation_is_for_one_until_it_is_closed() -> None:
    where, elsewhere = config(), config()
    reservation = listen_socket.reserve(where)
    assert reservation is not None
    with closing(reservation):
        with pytest.raises(OSError, match="in use") as caught:
            listen_socket.reserve(where)
        assert caught.value.errno == errno.EADDRINUSE
        other = listen_socket.reserve(elsewhere)
        assert other is not None
        other.close()
    again = listen_socket.reserve(where)
    assert again is not None
    again.close()
