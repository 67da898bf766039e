"""A small process beside the load that asks at fixed moments and notes how long it took.

    python -m loadtest.prober PORT PROBES_PER_SECOND SUFFIX

One line to stdout for each probe, until it is ended: ``{"due", "kind", "seconds"}``; ``due`` is time.monotonic(),
``seconds`` is null for a failure. Time is counted from the due moment and not from the sending, so that a probe that
could not be sent because the one before was late counts as late itself (no coordinated omission).
"""

import itertools
import json
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench import BenchError
from bench.load import missing_octets
from loadtest.requests import batch_record, id_record, validate_record

ADDRESS = b"192.0.2.1"  # of the prober (RFC 5737)
TIMEOUT = 5.0


class Probe(NamedTuple):
    """One question. ``due``: time.monotonic(); ``seconds``: None for a failure."""

    due: float
    kind: str
    seconds: float | None


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least ``share`` of them do not exceed (nearest rank); ValueError for none."""
    if not values:
        raise ValueError("no values, no percentile")
    rank = -(-len(values) * share // 1)
    return sorted(values)[max(0, int(rank) - 1)]


def parse(lines: Iterable[str], since: float, until: float) -> list[Probe]:
    """Those that were due within [since, until]; a line that is not complete yet is left out."""
    found = (Probe(**json.loads(line)) for line in lines if line.endswith("}\n"))
    return [probe for probe in found if since <= probe.due <= until]


class Connection:
    """A kept connection that is made anew after a failure."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def succeeds(self, request: bytes) -> bool:
        """Ask and wait for the whole answer; False unless it is a 200."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self._exchange(self._socket, request)
        except (OSError, BenchError):
            self.close()
            return False

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    @staticmethod
    def _exchange(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(request)
        answer = b""
        while missing_octets(answer) > 0:
            chunk = connection.recv(65536)
            if not chunk:
                raise ConnectionResetError("the service hung up within an answer")
            answer += chunk
        return answer.startswith(b"HTTP/1.1 200 ")


def main() -> None:
    port, rate, suffix = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    requests = (
        ("id", id_record(ADDRESS, 0)),
        ("batch", batch_record(ADDRESS, 0)),
        ("validate", validate_record(ADDRESS, 0, suffix)),
    )
    connection = Connection(port)
    begin = time.monotonic()
    for turn, (kind, request) in enumerate(itertools.cycle(requests)):
        due = begin + turn / rate
        time.sleep(max(0.0, due - time.monotonic()))
        succeeded = connection.succeeds(request)
        probe = Probe(due, kind, time.monotonic() - due if succeeded else None)
        print(json.dumps(probe._asdict()), flush=True)


if __name__ == "__main__":
    main()
