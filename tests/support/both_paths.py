"""Two workers with the same input: one has the fast path turned on, the other off.

``compare`` gives both the same bytes at the same moments, and holds after each step that they have written the same
bytes, the same access lines and the same rows of the ledger, and counted the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from arsenal_fast.api.admission import OnFailure
from arsenal_fast.observability.metrics import COUNTERS
from arsenal_fast.ratelimit.policies import Policies, parse_policies
from arsenal_fast.ratelimit.quota import Quota
from tests.support.ledgers import Book, SwitchedLedger
from tests.support.made_ids import Ids
from tests.support.rig import KEYS, START, Client, Rig

ORIGINS = ("https://a.example", "https://b.example")
PROXY = ("10.0.0.1", 40_000)
PLAYER_1 = "player-1@sports.api.yourbook.com/v1:id"


FILE = parse_policies("""
exempt = ["198.51.100.3"]

[[policy]]
name = "hour"
requests = 80
window = 3600

[[policy]]
name = "burst"
requests = 25
window = 50
callers = "all"

[[policy]]
name = "players"
requests = 50
window = 600
prefixes = ["player"]
cost = "rows"
callers = "all"

[[policy]]
name = "checks"
requests = 6
window = 60
routes = ["validate"]
shared = true

[[policy]]
name = "tight"
requests = 2
window = 60
shadow = true
callers = "all"
""")
"""A limits file with policies of every kind."""


def bearer(subject: str, scopes: str, rate_limit: int, left: float = 86_400, per_subject: int = 0) -> str:
    """An Authorization line whose token ends ``left`` seconds after the start; ``scopes`` between commas."""
    begun = START - 86_400 + left
    token = KEYS.mint_service(subject, scopes.split(","), rate_limit, 1, begun, per_subject=per_subject)
    return f"Authorization: Bearer {token}\r\n"


@dataclass
class Packet:
    """Bytes for one connection, in the pieces in which they arrive."""

    connection: int
    pieces: list[bytes]
    tick: bool = True


@dataclass
class Event:
    """Something that happens to a connection, the store, the ledger or the worker."""

    kind: str
    argument: Any = None


Script = list[Packet | Event]


def get(target: str = "/api/v1/id?prefix=player&run=1", fields: str = "") -> Packet:
    return Packet(0, [f"GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n".encode()])


def post(target: str, body: str, fields: str = "") -> Packet:
    head = f"POST {target} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
    return Packet(0, [f"{head}{body}".encode()])


def steps(*parts: Packet | Event | Script, times: int = 1) -> Script:
    """The parts one after another, the whole of it several times."""
    flat: Script = []
    for part in parts:
        flat += part if isinstance(part, list) else [part]
    return flat * times


@dataclass(frozen=True)
class Setup:
    """What both workers are like."""

    quota: Quota | None = None
    on_failure: OnFailure = OnFailure.LOCAL
    ledger: str = "none"
    """``none``, ``here`` or ``away``."""
    peer: tuple[str, int] = PROXY
    origins: Sequence[str] = ORIGINS
    access_log: str = "errors"
    reopens: bool = False
    """Whether a connection that has ended is followed by another one, rather than by silence."""
    policies: Policies | None = None
    """Of a limits file."""
    fetches: bool = False
    """Whether the store has the identities beside the cells."""


class Worker:
    """One of the two, and what can be seen of it from outside."""

    def __init__(self, setup: Setup, *, fast_path: bool) -> None:
        self.setup = setup
        self.ledger = None if setup.ledger == "none" else SwitchedLedger(Book())
        if self.ledger is not None:
            self.ledger.away = setup.ledger == "away"
        settings = {
            "quota": setup.quota,
            "policies": setup.policies,
            "on_store_failure": setup.on_failure,
            "origins": setup.origins,
            "access_log": setup.access_log,
            "trusted_proxies": ["10.0.0.0/8"],
            "protected_prefixes": frozenset({"vip"}),
        }
        self.rig = Rig(
            settings=settings,
            ledger=self.ledger,
            switched=True,
            fetches=setup.fetches,
            fast_path=fast_path,
            worthwhile=1,
        )
        self.recognized = self.rig.recognized()
        """The requests that the fast path took, one after another."""
        draws = count(1)
        self.rig.service.random = lambda octets: next(draws).to_bytes(octets, "big")
        self.connections = [self.rig.connect(setup.peer), self.rig.connect(setup.peer)]
        self.gone: set[int] = set()
        self.ids = Ids()

    def take(self, step: Packet | Event) -> dict[str, object]:
        """Take one step; return what has come of it."""
        if isinstance(step, Packet):
            if self.setup.reopens and self._has_ended(step.connection):
                self._connect(step.connection)
            if self._reads(step.connection):
                for piece in step.pieces:
                    self.connections[step.connection].deliver(piece)
            if step.tick:
                self.rig.tick()
        else:
            getattr(self, f"_{step.kind.replace('-', '_')}")(step.argument)
        return self._seen()

    def _seen(self) -> dict[str, object]:
        def state(client: Client) -> object:
            transport = client.transport
            return client.take(), transport.eof, transport.closed, transport.aborted, transport.reading

        rig, ledger = self.rig, self.ledger
        metrics = rig.service.metrics
        names = [name for name in COUNTERS if name.startswith(("identity_", "limiter_", "connections_"))]
        lines, rig.lines[:] = rig.lines[:], []
        admissions, rig.shared.admissions[:] = rig.shared.admissions[:], []
        told: list[list[Any]] = [] if ledger is None else [ledger.recorded, ledger.revoked, ledger.finds]
        written = [list(each) for each in told]
        for each in told:
            each.clear()
        with_ids: dict[str, object] = self.ids.in_order(
            {
                "connections": [state(client) for client in self.connections],
                "access lines": lines,
                "failures logged": [entry for entry in rig.access if entry[2] >= 400],
                "admissions": admissions,
                "told to the ledger": written,
            }
        )
        return with_ids | {
            "kept by the ledger": None if ledger is None else dict(ledger.book.records),
            "answers counted": {key: (list(each.counts), each.nanoseconds) for key, each in metrics.series.items()},
            "counters": {name: getattr(metrics, name) for name in names},
            "shadows": dict(metrics.shadow_refused),
        }

    def _has_ended(self, index: int) -> bool:
        transport = self.connections[index].transport
        return index in self.gone or transport.eof or transport.closed

    def _reads(self, index: int) -> bool:
        transport = self.connections[index].transport
        return index not in self.gone and transport.reading and not transport.closed

    # The events.

    def _connect(self, index: int) -> None:
        """The client of a connection goes, and comes again on another one."""
        self._lose(index)
        self.gone.discard(index)
        self.connections[index] = self.rig.connect(self.setup.peer)

    def _advance(self, seconds: float) -> None:
        # Nothing is on its way meanwhile: the fast path judges an identity's age before admission, a handler after it.
        self._hold(False)
        self.rig.advance(seconds)

    def _away(self, away: bool) -> None:
        if away:
            self.rig.shared.away = True
        elif self.rig.shared.away:
            self.rig.shared.come_back()

    def _ledger_away(self, away: bool) -> None:
        if self.ledger is not None and away:
            self.ledger.away = True
        elif self.ledger is not None and self.ledger.away:
            self.ledger.come_back()

    def _hold(self, holding: bool) -> None:
        if holding:
            self.rig.shared.holding = True
        else:
            self.rig.shared.release_all()
            self.rig.tick()

    def _pause(self, index: int) -> None:
        if index not in self.gone:
            self.connections[index].connection.pause_writing()

    def _resume(self, index: int) -> None:
        if index not in self.gone and not self.connections[index].transport.closed:
            self.connections[index].connection.resume_writing()
            self.rig.tick()

    def _half_close(self, index: int) -> None:
        if self._reads(index):
            self.connections[index].half_close()

    def _lose(self, index: int) -> None:
        if index not in self.gone:
            self.gone.add(index)
            self.connections[index].lose()

    def _sweep(self, _: object) -> None:
        self.rig.sweep()

    def _revoke(self, what: str | None) -> None:
        """Another worker revokes an identity, a prefix or everything."""
        revocations = self.rig.shared.memory.revocations
        if what is not None and "@" in what:
            revocations.revoke(what, None, lambda revoked: None)
        else:
            revocations.set_epoch(what, 0, lambda epoch: None)

    def _drain(self, _: object) -> None:
        self.rig.drain()


@dataclass
class Comparison:
    """Two workers, and what the fast path has taken of the first."""

    setup: Setup
    fast: Worker = field(init=False)
    slow: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.fast, self.slow = Worker(self.setup, fast_path=True), Worker(self.setup, fast_path=False)

    def take(self, script: Script) -> None:
        """Give both the steps of a script, then whatever is still held."""
        for step in [*script, Event("hold", False)]:
            ours, theirs = self.fast.take(step), self.slow.take(step)
            for name, seen in theirs.items():
                assert ours[name] == seen, (name, step)


def compare(script: Script, setup: Setup) -> None:
    """Hold that both workers do the same, step by step."""
    Comparison(setup).take(script)
    Comparison(replace(setup, fetches=True)).take(one_by_one(script))


def one_by_one(script: Script) -> Script:
    """The steps, each request answered before the next: what is fetched is asked for before what is not."""
    each = [replace(step, tick=True) if isinstance(step, Packet) else step for step in script]
    return [step for step in each if isinstance(step, Packet) or step.kind != "hold"]
