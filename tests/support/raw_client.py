"""A blocking client that keeps the bytes of each response, to compare two services."""

import re
import socket
import ssl
from typing import Final

PATIENCE_S: Final = 10.0
"""Seconds for a response that should have come; then a test fails."""

_MASKS: Final = [
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (rb"(\r\nDate: )[^\r]*", rb"\1-"),
        (rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", b"(time)"),
        (rb"eyJ[\w-]+\.[\w-]+\.[\w-]+", b"(token)"),
        (rb"_[0-9a-hjkmnp-tv-z]{25}", b"(drawn run)"),
        (rb'(\r\nX-RateLimit-Reset: |;t=|\r\nRetry-After: |try again in |"reset":)\d+', rb"\1-"),
    )
]


def masked(response: bytes) -> bytes:
    """A response without what time and chance put into it: lengths of tokens and times are always the same."""
    for pattern, replacement in _MASKS:
        response = pattern.sub(replacement, response)
    return response


class RawClient:
    """One connection to a port of 127.0.0.1, over TLS where there is a context."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")
        self._received = b""
        self._ended = False

    def close(self) -> None:
        """Close the connection, whatever is under way."""
        self._socket.close()

    def send(self, *pieces: bytes) -> None:
        """Send the pieces, each by itself."""
        for piece in pieces:
            try:
                self._socket.sendall(piece)
            except (ConnectionError, ssl.SSLError):
                return  # the service has closed; what it has said can still be read

    def half_close(self) -> None:
        """Say that we send no more, on plain TCP."""
        self._socket.shutdown(socket.SHUT_WR)

    def interim(self) -> bytes:
        """The next head with its empty line, of any response; what has come where the connection ends instead."""
        while (end := self._received.find(b"\r\n\r\n")) < 0 and self._more():
            pass
        return self._take(end + 4 if end >= 0 else len(self._received))

    def ask(self, octets: bytes, size: int | None = None) -> bytes:
        """Send one request, in pieces of so many bytes, and return its response."""
        size = size or len(octets)
        self.send(*(octets[index : index + size] for index in range(0, len(octets), size)))
        return self.response(head=octets.lstrip().startswith(b"HEAD "))

    def response(self, *, head: bool = False) -> bytes:
        """The next response with those that come before it (100); what has come where the connection ends instead."""
        begin = 0
        while True:
            while (end := self._received.find(b"\r\n\r\n", begin)) < 0:
                if not self._more():
                    return self._take(len(self._received))
            end += 4
            if self._received[begin:end].startswith(b"HTTP/1.1 1"):
                begin = end
                continue
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", self._received[begin:end])
            end += 0 if head or length is None else int(length[1])
            while len(self._received) < end:
                if not self._more():
                    break
            return self._take(end)

    def _take(self, length: int) -> bytes:
        taken, self._received = self._received[:length], self._received[length:]
        return taken

    def _more(self) -> bool:
        if self._ended:
            return False
        try:
            data = self._socket.recv(65_536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        self._received += data
        self._ended = not data
        return bool(data)
