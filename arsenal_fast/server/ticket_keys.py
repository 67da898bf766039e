"""The keys of TLS session tickets: the same for all workers, and renewed every hour.

A client keeps its session in a ticket that the server has encrypted (RFC 8446 4.6.1, RFC 5077), and resumes it without
the server's signature. By default each OpenSSL context draws keys of its own, so that a worker can't read the tickets
of another, and keeps them for its life. Here they are in shared memory, made before the workers are forked; worker 0
renews them there, and each worker sets them from there. A ticket of the hour before costs its client a full handshake.

What renewal protects is TLS 1.2, whose recorded sessions can be read with the key of their tickets; sessions of TLS 1.3
agree on new keys also when they are resumed.

Python has no function for this, so OpenSSL's own is called, with the pointer that an ``SSLContext`` of CPython begins
with. Where that can't be done, each worker keeps the keys of its own context.
"""

import _ssl
import ctypes
import mmap
import os
import ssl
import struct
import sys
from collections.abc import Callable
from typing import Final

RENEW_S: Final = 3600.0
"""Seconds for which keys are used; OpenSSL's tickets are valid for two hours of these at most."""

_SIZE: Final = 80
"""Bytes of the keys: a name of 16, for HMAC 32 and for AES 32 (OpenSSL 1.1.1 and 3)."""

_SET_KEYS: Final = 59  # SSL_CTRL_SET_TLSEXT_TICKET_KEYS, openssl/ssl.h
_MADE_AT: Final = struct.Struct("=d")


class TicketKeys:
    """The keys of one service. Make it before forking."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """``monotonic``: seconds on a clock that all processes share."""
        self._monotonic = monotonic
        self._control = _openssl_control()
        self._memory = mmap.mmap(-1, _MADE_AT.size + _SIZE)
        self._renew()

    def renew_if_due(self) -> None:
        """Draw new keys after RENEW_S. One process only may call this."""
        (made_at,) = _MADE_AT.unpack(self._memory[: _MADE_AT.size])
        if self._monotonic() >= made_at + RENEW_S:
            self._renew()

    def set_in(self, context: ssl.SSLContext) -> bool:
        """Let a context use the keys as they are now, and return whether it does.

        Keys that are just being written may be set torn; the next call sets them right.
        """
        keys = self._memory[_MADE_AT.size :]
        return self._control is not None and bool(self._control(_pointer(context), _SET_KEYS, _SIZE, keys))

    def _renew(self) -> None:
        self._memory[:] = _MADE_AT.pack(self._monotonic()) + os.urandom(_SIZE)


def _pointer(context: ssl.SSLContext) -> ctypes.c_void_p:
    """Return the SSL_CTX of a context: the first member of CPython's object."""
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__)


def _openssl_control() -> Callable[..., int] | None:
    """Return SSL_CTX_ctrl of the OpenSSL that ``ssl`` uses; None where it can't be reached."""
    if sys.implementation.name != "cpython":
        return None
    try:
        control = ctypes.CDLL(_ssl.__file__).SSL_CTX_ctrl
    except (OSError, AttributeError):
        return None
    control.restype = ctypes.c_long
    control.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
    return control
