"""Binding the address of a service, alone or beside its other workers, and reserving it."""

import errno
import os
import socket
import sys
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from arsenal_fast.config.load import Config, load
from arsenal_fast.server import listen_socket
from tests.support.service import free_port


def config(**environ: str) -> Config:
    return load({"HOST": "127.0.0.1", "PORT": str(free_port()), **environ})


def bind(where: Config, *, shared: bool) -> socket.socket:
    (bound,) = listen_socket.bind(where, shared=shared)
    return bound


def refused(bound: Config, *, shared: bool) -> bool:
    try:
        bind(bound, shared=shared).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [(True, True, False), (True, False, True), (False, True, True), (False, False, True)],
)
def test_who_may_bind_beside_a_socket_that_listens(first: bool, second: bool, is_refused: bool) -> None:
    where = config()
    with bind(where, shared=first) as listening:
        listening.listen()
        assert refused(where, shared=second) is is_refused


def test_connections_that_are_left_of_a_predecessor_are_not_in_the_way() -> None:
    where = config()
    with bind(where, shared=True) as listening:
        listening.listen()
        with socket.create_connection(("127.0.0.1", where.port)) as client:
            accepted, _ = listening.accept()
            accepted.close()  # first, so that TIME_WAIT is on this side
            assert client.recv(1) == b""
    assert not refused(where, shared=False)


@pytest.fixture
def has_ipv6() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")


BOTH_FAMILIES = [("localhost", ["127.0.0.1", "::1"]), ("::", ["0.0.0.0", "::"])]


@pytest.mark.usefixtures("has_ipv6")
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("host", "addresses"), BOTH_FAMILIES)
def test_localhost_and_all_addresses_are_of_both_families(host: str, addresses: list[str], shared: bool) -> None:
    where = config(HOST=host)
    with ExitStack() as opened:
        sockets = [opened.enter_context(each) for each in listen_socket.bind(where, shared=shared)]
        assert [each.getsockname()[:2] for each in sockets] == [(address, where.port) for address in addresses]
        for listening, address in zip(sockets, ("127.0.0.1", "::1"), strict=True):
            listening.listen()
            with socket.create_connection((address, where.port)):
                accepted, peer = listening.accept()
                accepted.close()
                assert peer[0] == address, "and no IPv4 address within IPv6"
        assert refused_on(where, ["127.0.0.1", "::1"]) == ["127.0.0.1", "::1"]


def refused_on(where: Config, hosts: list[str]) -> list[str]:
    return [host for host in hosts if refused(replace(where, host=host), shared=False)]


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize(("host", "addresses"), BOTH_FAMILIES)
def test_without_ipv6_both_families_are_ipv4(
    host: str, addresses: list[str], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ipv6(monkeypatch, number)
    where = config(HOST=host)
    with bind(where, shared=False) as bound:
        assert bound.getsockname() == (addresses[0], where.port)
    with pytest.raises(OSError, match=os.strerror(number)):
        listen_socket.bind(config(HOST="::1"), shared=False)


def test_of_two_families_none_stays_bound_where_one_can_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ipv6(monkeypatch, errno.EADDRINUSE)
    where = config(HOST="localhost")
    with pytest.raises(OSError, match="in use"):
        listen_socket.bind(where, shared=False)
    bind(replace(where, host="127.0.0.1"), shared=False).close()


def without_ipv6(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have a stub of the binding fail for IPv6, as the kernel would."""
    bind_one = listen_socket._bind

    def stub(address: str, port: int, *, shared: bool) -> socket.socket:
        if ":" in address:
            raise OSError(number, os.strerror(number))
        return bind_one(address, port, shared=shared)

    monkeypatch.setattr(listen_socket, "_bind", stub)


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


@pytest.mark.skipif(sys.platform != "linux", reason="has no abstract unix sockets")
@pytest.mark.parametrize(("first", "second"), [("localhost", "127.0.0.1"), ("::", "0.0.0.0")])
def test_both_families_are_reserved_with_the_address_of_ipv4(first: str, second: str) -> None:
    where = config(HOST=first)
    reservation = listen_socket.reserve(where)
    assert reservation is not None
    with closing(reservation), pytest.raises(OSError, match="in use"):
        listen_socket.reserve(replace(where, host=second))
