"""Binds the sockets of a worker, and keeps two services from sharing one address.

``localhost`` and ``::`` mean both families, with a socket for each: IPv4 goes on where the machine has no IPv6, and the
peers of an IPv4 socket have plain IPv4 addresses.

SO_REUSEPORT lets the workers of one service share a port; the kernel lets any other process of the same user
share it too, so that a service that was started twice would get half of the traffic each. Before a service of
several workers starts them

* it reserves the address: an abstract unix socket of that name, which one process at a time can hold and which
  the kernel frees with it. That also stops two that start at the same moment;
* then it binds once without SO_REUSEPORT, which fails where another process listens: another program, a service of one
  worker, or one with an address that includes ours (0.0.0.0 and 127.0.0.1).

The supervisor keeps the reservation until it stops, also while it replaces a dead worker. It holds no
socket of the port itself: that would have to listen to keep others away, and would accept connections unserved.

Not prevented: two services of several workers with different overlapping addresses, started within the second
before the first one listens. Without abstract sockets (not Linux) the reservation is missing, too.
"""

import errno
import socket
import sys
from contextlib import ExitStack
from typing import Final

from arsenal_fast.config.load import Config

_ADDRESSES: Final = {"localhost": ("127.0.0.1", "::1"), "::": ("0.0.0.0", "::")}  # noqa: S104 what the operator sets
"""Of a HOST that means both families (RFC 6761 6.3 for ``localhost``); any other is one address."""

_NO_SUCH_FAMILY: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""Errors of a kernel without IPv6, and of one that has it turned off."""


def bind(config: Config, *, shared: bool) -> list[socket.socket]:
    """Return sockets bound to HOST and PORT, which do not listen yet; OSError where that can't be.

    ``shared``: with others of the same service.
    """
    bound: list[socket.socket] = []
    with ExitStack() as undo:
        for address in _addresses(config):
            try:
                bound.append(undo.enter_context(_bind(address, config.port, shared=shared)))
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY or not bound:
                    raise
        undo.pop_all()
    return bound


def reserve(config: Config) -> socket.socket | None:
    """Reserve the address until the returned socket is closed; OSError (EADDRINUSE) where another process has it."""
    if sys.platform != "linux":
        return None
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The names belong to the network namespace, as the ports do.
        reservation.bind(f"\0arsenal-fast/{_addresses(config)[0]}/{config.port}")
    except OSError as error:
        reservation.close()
        if error.errno == errno.EADDRINUSE:
            error.filename = config.port
            raise
        return None  # a sandbox without such sockets
    return reservation


def _addresses(config: Config) -> tuple[str, ...]:
    return _ADDRESSES.get(config.host, (config.host,))


def _bind(address: str, port: int, *, shared: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        # Allows a predecessor's connections in TIME_WAIT, but not another listening socket.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if address == "::":
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        error.filename = port  # for the sentence that the operator reads
        raise
    return bound
