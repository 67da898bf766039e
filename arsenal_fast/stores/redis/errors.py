"""Explains in one sentence why Redis can't be used: for the log and the health response.

No sentence repeats more of an error than its code: the text may quote a password, or name hosts.
"""

import errno
import socket
import ssl
from typing import Final

OUTAGES: Final = {
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it refuses the user or the password",
    "NOPERM": "its user may not do what we need",
    "DENIED": "it is in protected mode and takes no other machine",
    "LOADING": "it is loading its data",
    "READONLY": "it is a replica, which can't be written",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "NOREPLICAS": "it has too few replicas to take a write",
    "OOM": "its memory is full",
    "MISCONF": "it can't write to its disk and refuses writes",
    "BUSY": "a script keeps it busy",
    "MOVED": "it is a cluster, whose redirections are not followed",
    "ASK": "it is a cluster, whose redirections are not followed",
    "CLUSTERDOWN": "it is a cluster that is down",
    "TRYAGAIN": "it is a cluster that moves our keys",
}
"""The codes of the errors that mean an outage, and what they mean."""

_NO_NAME: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_NO_WAY: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)
_OTHER_NAME: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


_REFUSALS: Final = OUTAGES | {"DB index is out of range": "it has no database of the number in its URL"}


def of_reply(code: str) -> str:
    """Return the sentence for an error reply of this code."""
    meaning = _REFUSALS.get(code)
    return f"it answers {code}: {meaning}" if meaning else f"it answers {code}"


def of_connect(error: OSError | ValueError) -> str:
    """Return the sentence for a failed connect; a ValueError that is no UnicodeError has one of its own (tls.py)."""
    if isinstance(error, UnicodeError):
        return "its name is none"
    if not isinstance(error, OSError):
        return str(error).removesuffix(".")
    if isinstance(error, socket.gaierror):
        return "its name is not known" if error.errno in _NO_NAME else "its name can't be looked up now"
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_NAME:
            return "its certificate is not trusted: it is of another name"
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "it speaks no TLS that we understand (is redis:// meant?)"
    if isinstance(error, ConnectionRefusedError):
        return "it refuses connections: nothing listens there"
    if isinstance(error, ConnectionError):
        return "it ends the connection at once"
    if isinstance(error, TimeoutError):
        return "no connection in time"
    if isinstance(error, PermissionError):
        return "we are not allowed to connect to it"
    if isinstance(error, FileNotFoundError):
        return "its socket is not there"
    if error.errno in _NO_WAY:
        return "there is no route to its address"
    return "no connection"
