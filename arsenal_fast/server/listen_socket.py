"""Binds the socket of a worker, and keeps two services from sharing one address.

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
from typing import Any

from arsenal_fast.config.load import Config


def bind(config: Config, *, shared: bool) -> socket.socket:
    """Return a socket bound to HOST and PORT, which does not listen yet; OSError where that can't be.

    ``shared``: with others of the same service.
    """
    family, kind, protocol, _, address = _address(config)
    bound = socket.socket(family, kind, protocol)
    try:
        # Allows a predecessor's connections in TIME_WAIT, but not another listening socket.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # "::" serves IPv4 too; such a peer is its IPv4 address to the limiter.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def reserve(config: Config) -> socket.socket | None:
    """Reserve the address until the returned socket is closed; OSError (EADDRINUSE) where another process has it."""
    if sys.platform != "linux":
        return None
    host, port, *_ = _address(config)[4]
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The names belong to the network namespace, as the ports do.
        reservation.bind(f"\0arsenal-fast/{host}/{port}")
    except OSError as error:
        reservation.close()
        if error.errno == errno.EADDRINUSE:
            raise
        return None  # a sandbox without such sockets
    return reservation


def _address(config: Config) -> tuple[int, int, int, str, tuple[Any, ...]]:
    return socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
