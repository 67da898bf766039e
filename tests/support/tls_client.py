"""A TLS client in memory, the peer of a ``TlsTransport`` whose socket is a fake."""

import contextlib
import ssl
from collections.abc import Iterator

from arsenal_fast.server.connection import Connection
from arsenal_fast.server.tls import TlsTransport
from tests.support.rig import PEER, Answer, FakeTransport, Rig, read_answers


class Socket(FakeTransport):
    """Takes ``capacity`` bytes, then says that it is full, as a socket whose peer does not read."""

    def __init__(self, capacity: int | None = None) -> None:
        super().__init__(PEER)
        self.capacity = capacity
        self.tls: TlsTransport | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        if self.capacity is not None:
            self.unsent = max(sum(map(len, self.written)) - self.capacity, 0)
            if self.unsent and self.tls is not None:
                self.tls.pause_writing()


class TlsClient:
    """One client; ``rig``: the worker that serves it."""

    def __init__(
        self, rig: Rig, server: ssl.SSLContext, trusting: ssl.SSLContext, *, capacity: int | None = None
    ) -> None:
        self.rig = rig
        self.socket = Socket(capacity)
        self.connection = Connection(rig.listener)
        self.transport = TlsTransport(server, self.connection, rig.listener.turns, rig.listener.handshakes)
        self.socket.tls = self.transport
        self.transport.connection_made(self.socket)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def shake_hands(self, piece: int | None = None) -> None:
        """Complete the handshake; ``piece``: bytes that arrive at a time."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.deliver(self.ciphertext(), piece)
                self.take()
            else:
                self.deliver(self.ciphertext(), piece)
                return

    def hello(self) -> bytes:
        """Return the first bytes of a handshake."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.ciphertext()

    def send(self, data: bytes, piece: int | None = None) -> None:
        self.tls.write(data)
        self.deliver(self.ciphertext(), piece)

    def encrypt(self, *parts: bytes) -> bytes:
        """Return a record for each part."""
        for part in parts:
            self.tls.write(part)
        return self.ciphertext()

    def say_close(self) -> None:
        """Send close_notify."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        self.deliver(self.ciphertext())

    def half_close(self) -> None:
        """Shut the TCP connection's own half."""
        if not self.transport.eof_received():
            self.socket.close()
        self.rig.tick()

    def ciphertext(self) -> bytes:
        return self._outgoing.read()

    def deliver(self, octets: bytes, piece: int | None = None) -> None:
        for start in range(0, len(octets), piece or max(len(octets), 1)):
            self.transport.data_received(octets[start : start + (piece or len(octets))])
        self.rig.tick()

    def take(self) -> None:
        """Read from the socket what it has, which makes room in it."""
        octets = b"".join(self.socket.written)
        self.socket.written.clear()
        self._incoming.write(octets)
        if self.socket.unsent:
            self.socket.unsent = 0
            self.transport.resume_writing()
            self.rig.tick()

    def read(self) -> bytes:
        """Return all that can be read now; sets ``ended`` when close_notify has come."""
        return b"".join(self._read())

    def _read(self) -> Iterator[bytes]:
        self.take()
        while True:
            try:
                part = self.tls.read(1_048_576)
            except ssl.SSLWantReadError:
                if not self.socket.written:
                    return
                self.take()
                continue
            except ssl.SSLZeroReturnError:
                part = b""
            if not part:
                self.ended = True
                return
            yield part

    ended = False

    def answers(self, *methods: str) -> list[Answer]:
        return read_answers(self.read(), list(methods))
