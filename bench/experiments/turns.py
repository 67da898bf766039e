"""When a turn of the loop writes what: four other ways than the service's, each measured as the whole server.

    python -m bench.experiments.turns cached-proxy issuing batch-10-new

The service makes the answers that take a while (``Departures``) before it writes the first of them, writes those that
are ready at once, and sends an admission at the end of every turn. By turns with it, with Redis and wrk:

* *one by one*: each answer is written as soon as it is made (but for what is issued on the short way);
* *all in a row*: those that are ready wait for the last one of their batch, too;
* *one in flight*: an admission leaves when the one before has been answered, so that batches grow;
* *one write*: the commands that a turn has for Redis leave as one.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from arsenal_fast.cli import main as serve
from arsenal_fast.redis import connection
from arsenal_fast.server.protocol import Connection
from arsenal_fast.service.admission import Admission
from arsenal_fast.service.app import Service
from arsenal_fast.service.departures import Departures
from arsenal_fast.service.exchange import Exchange
from arsenal_fast.service.recognition import Recognition
from bench.experiments.racing import show
from bench.rounds import Plan, run
from bench.servers import SERVICE, Server
from bench.workloads import Workload

ROUNDS, SECONDS = 3, 2


def one_by_one() -> None:
    def send(self: Departures, exchange: Exchange, answer: bytes, rest: bytes = b"") -> None:
        exchange.connection.answered(exchange, answer, rest)

    Departures.send = send  # type: ignore[method-assign]


def all_in_a_row() -> None:
    ready: list[tuple[Connection, object, bytes]] = []
    write, tell, issued = Connection.answered_prepared, Admission._tell, Recognition._issued

    def later(self: Connection, exchange: object, answer: bytes) -> None:
        ready.append((self, exchange, answer))

    def leave() -> None:
        for asking, exchange, answer in ready:
            write(asking, exchange, answer)
        ready.clear()

    def telling(self: Admission, *args: Any, **options: Any) -> None:
        tell(self, *args, **options)
        leave()

    def issuing(self: Recognition, *args: Any) -> None:
        issued(self, *args)
        leave()

    Connection.answered_prepared = later  # type: ignore[method-assign]
    Admission._tell = telling  # type: ignore[method-assign]
    Recognition._issued = issuing  # type: ignore[assignment, method-assign]


def one_in_flight() -> None:
    flush, settle = Admission._flush, Admission._settle
    flying: list[Admission] = []
    due: list[Admission] = []

    def flushing(self: Admission) -> None:
        if flying:
            due.append(self)
        elif self._batch.exchanges:
            flying.append(self)
            flush(self)

    def settling(self: Admission, *args: Any) -> None:
        flying.clear()
        if due:
            due.clear()
            flushing(self)
        settle(self, *args)

    Admission._flush = flushing  # type: ignore[method-assign]
    Admission._settle = settling  # type: ignore[assignment, method-assign]


def one_write() -> None:
    send, init = connection.Stream.send, Service.__init__
    held: list[bytes] | None = None

    class Holding:
        """In a stream's place for a transport that gathers."""

        def write(self, command: bytes) -> None:
            assert held is not None
            held.append(command)

    def sending(self: connection.Stream, *args: Any) -> None:
        transport = self.transport
        if held is None or transport is None:
            send(self, *args)
            return
        if not held:
            leaving.append(transport.write)
        self.transport = Holding()  # type: ignore[assignment]
        send(self, *args)
        self.transport = transport

    leaving: list[Callable[[bytes], None]] = []

    def starting(self: Service, *args: Any, call_soon: Callable[[Callable[[], None]], object], **options: Any) -> None:
        waiting: list[Callable[[], None]] = []

        def turn() -> None:
            nonlocal held
            callbacks = waiting[:]
            waiting.clear()
            held = []
            for callback in callbacks:
                callback()
            commands, held = b"".join(held), None
            for write in leaving:
                write(commands)
            leaving.clear()

        def soon(callback: Callable[[], None]) -> None:
            if not waiting:
                call_soon(turn)
            waiting.append(callback)

        init(self, *args, call_soon=soon, **options)

    connection.Stream.send = sending  # type: ignore[assignment, method-assign]
    Service.__init__ = starting  # type: ignore[method-assign]


WAYS = {"one by one": one_by_one, "all in a row": all_in_a_row, "one in flight": one_in_flight, "one write": one_write}


def other_way(name: str) -> Server:
    return replace(SERVICE, name=name, command=("{python}", "-m", "bench.experiments.turns", "serve", name))


def main(names: Sequence[str]) -> None:
    servers = [SERVICE, *map(other_way, WAYS)]
    for name in names:
        figures: dict[str, list[float]] = {"floor": [], **{server.name: [] for server in servers}}
        # run() leaves all but the first out of every second round, which is for peers that are far off
        for plan in [Plan(servers, [Workload.named(name)], 1, SECONDS)] * ROUNDS:
            for sample in run(plan, lambda sample: None, partial(print, file=sys.stderr)):
                figures[sample.server].append(sample.cpu_us / sample.requests)
        show(f"{name}: the whole server", figures, "CPU us per request")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        WAYS[sys.argv[2]]()
        raise SystemExit(serve(["serve"]))
    main(sys.argv[1:] or ["cached-proxy"])
