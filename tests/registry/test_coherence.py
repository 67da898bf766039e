"""Revoked anywhere, revoked everywhere: no request after the response to a revocation gets a revoked life.

Two workers over one store (and one ledger), each with connections of its own. Commands and their answers travel as
they do in Redis: in order on each connection, at any moment relative to the other worker's and to the ledger's.
With a ledger the store may lose its memory, too.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.api.handlers.revocation import moment
from arsenal_fast.ratelimit.quota import Quota
from tests.support.replicas import Replicas
from tests.support.rig import KEYS, START, Client, request

ID = "player-1@sports.api.yourbook.com/v1:id"
REVOKER = {"Authorization": "Bearer " + KEYS.mint_service("ops", ["revoke"], 1_000_000, 1, START)}
JSON = {"Content-Type": "application/json"}


def post(path: str, body: object, **headers: str) -> bytes:
    return request("POST", path, orjson.dumps(body), **JSON, **headers)


ASKED = {
    "get": request("GET", "/api/v1/id?prefix=player&run=1"),
    "get, spelled otherwise": request("GET", "/api/v1/id?run=1&prefix=player"),
    "batch": post("/api/v1/identities", {"environments": [{"name": "a", "prefix": "player", "run": "1"}]}),
    "validate": post("/api/v1/validate", {"identity": ID}),
    "validate many": post("/api/v1/validate", {"identities": [ID]}),
}


def generated(what: str, body: Any) -> int | None:
    """The beginning (ms) of the life that a response has as active; None without one."""
    if what == "batch":
        body = body["identities"][0]
    elif what == "validate many":
        body = body["results"][0]
    if what.startswith("validate") and not body["valid"]:
        return None
    return moment(body["generated"])


@dataclass
class Asking:
    """One connection, and its requests: (request, moment before which every life was revoked by then)."""

    client: Client
    open: deque[tuple[str, int]] = field(default_factory=deque)


class World:
    """Two workers, their clients, and the lives that the clients know to be revoked."""

    def __init__(self, *, ledger: bool, quota: Quota | None) -> None:
        self.replicas = Replicas(ledger=ledger, settings={"quota": quota})
        self.askings = [{what: Asking(rig.connect()) for what in (*ASKED, "revoke")} for rig in self.replicas.rigs]
        self.dead_before = 0
        self.living: set[int] = set()

    def take(self, step: tuple[Any, ...]) -> None:
        getattr(self, f"_{step[0]}")(*step[1:])
        for worker in (0, 1):
            self.replicas.rigs[worker].tick()
            for asking in self.askings[worker].values():
                if asking.client.transport.written:
                    self._read(asking)

    def _ask(self, worker: int, what: str) -> None:
        self._send(worker, what, ASKED[what])

    def _revoke(self, worker: int, how: str) -> None:
        now = self.replicas.rigs[0].wall
        before = f"2025-11-22T10:00:{now - START:06.3f}Z"
        bodies = {"one": {"identity": ID}, "prefix": {"prefix": "player", "issued_before": before}}
        self._send(worker, "revoke", post("/api/v1/revoke", bodies.get(how, {"issued_before": before}), **REVOKER))

    def _hold(self, worker: int, store: bool, ledger: bool) -> None:
        self.replicas.rigs[worker].shared.holding = store
        if self.replicas.ledgers:
            self.replicas.ledgers[worker].holding = ledger

    def _store(self, worker: int) -> None:
        shared = self.replicas.rigs[worker].shared
        if shared.held:
            shared.release()

    def _ledger(self, worker: int) -> None:
        ledgers = self.replicas.ledgers
        if ledgers and (ledgers[worker].writes or ledgers[worker].reads):
            ledgers[worker].release()

    def _release(self, worker: int) -> None:
        rig = self.replicas.rigs[worker]
        busy = True
        while busy:
            rig.shared.release_all()
            if self.replicas.ledgers:
                self.replicas.ledgers[worker].release_all()
            rig.tick()
            busy = bool(rig.shared.held)

    def _pass(self, ms: int) -> None:
        self.replicas.advance(ms / 1000)

    def _flush(self) -> None:
        """Deliver everything, so that the ledger has all revocations, and then only the ledger."""
        if self.replicas.ledgers and not self._open():
            self.replicas.advance(0.1)  # a floor is a few ms ahead of the clock where one ms saw several lives
            self.replicas.flush()

    def _send(self, worker: int, what: str, octets: bytes) -> None:
        asking = self.askings[worker][what]
        if len(asking.open) < 16:
            asking.open.append((what, self.dead_before))
            asking.client.deliver(octets)

    def _read(self, asking: Asking) -> None:
        for answer in asking.client.transport.written:
            what, dead_before = asking.open.popleft()
            head, _, content = answer.partition(b"\r\n\r\n")
            body = orjson.loads(content)
            if what != "revoke":
                assert head.startswith(b"HTTP/1.1 200"), answer
                life = generated(what, body)
                assert life is None or life >= dead_before, f"{what}: a life that was dead when it was asked for"
            elif head.startswith(b"HTTP/1.1 200"):
                end = moment(body["revoked"]) + 1 if "identity" in body else moment(body["issued_before"])
                self.dead_before = max(self.dead_before, end)
            else:
                assert head.startswith(b"HTTP/1.1 404"), answer
        asking.client.transport.written.clear()

    def _open(self) -> bool:
        return any(asking.open for each in self.askings for asking in each.values())

    def agree(self) -> None:
        """At the end everything arrives; then both workers have the same life, which is not revoked."""
        for worker in (0, 1, 0, 1):
            self.take(("release", worker))
        assert not self._open()
        lives = {
            moment(rig.connect().get("/api/v1/id?prefix=player&run=1").json["generated"]) for rig in self.replicas.rigs
        }
        (life,) = lives
        assert life >= self.dead_before


workers = st.integers(0, 1)
asks = st.tuples(st.just("ask"), workers, st.sampled_from([*ASKED, "get", "get", "validate"]))
moves = st.one_of(
    asks,
    asks,
    asks,
    st.tuples(st.just("revoke"), workers, st.sampled_from(["one", "one", "prefix", "all"])),
    st.tuples(st.just("hold"), workers, st.booleans(), st.booleans()),
    st.tuples(st.just("store"), workers),
    st.tuples(st.just("store"), workers),
    st.tuples(st.just("ledger"), workers),
    st.tuples(st.just("ledger"), workers),
    st.tuples(st.just("release"), workers),
    st.tuples(st.just("pass"), st.sampled_from([1, 2, 900])),
    st.tuples(st.just("flush")),
)
stories = st.lists(moves, min_size=4, max_size=15)
WARM: list[tuple[Any, ...]] = [("ask", worker, "get") for worker in (0, 1, 0, 1, 0, 1)]


def tell(story: list[tuple[Any, ...]], *, ledger: bool, quota: Quota | None = None, warm: bool = True) -> World:
    world = World(ledger=ledger, quota=quota)
    for step in (WARM if warm else []) + story:
        world.take(step)
    world.agree()
    return world


@settings(max_examples=1000, deadline=None)
@given(stories, st.booleans(), st.sampled_from([None, Quota(10_000, 60)]), st.booleans())
def test_no_interleaving_answers_with_a_life_that_was_dead_when_it_was_asked_for(
    story: list[tuple[Any, ...]], ledger: bool, quota: Quota | None, warm: bool
) -> None:
    tell(story, ledger=ledger, quota=quota, warm=warm)


# Interleavings that have gone wrong once, or nearly.
STORIES: dict[str, list[tuple[Any, ...]]] = {
    "an earlier batch brings the revision home": [
        *[("pass", 1), ("revoke", 0, "one"), ("hold", 1, True, False), ("ask", 1, "get"), ("store", 1)],
        *[("ask", 1, "get"), ("store", 1), ("store", 1), ("store", 1), ("store", 1)],
    ],
    "the ledger writes while it is revoked": [
        *[("pass", 1), ("revoke", 0, "one"), ("hold", 0, False, True), ("ask", 0, "get"), ("pass", 1)],
        *[("revoke", 1, "one"), ("ask", 0, "validate"), ("ledger", 0), ("ledger", 0), ("ask", 0, "get")],
    ],
    "an identity is asked for by who raises the epoch, before it knows that it has": [
        *[("hold", 1, True, True), ("pass", 2), ("revoke", 1, "all"), ("store", 1), ("ask", 1, "get")],
        *[("release", 1), ("ask", 1, "get")],
    ],
    "the ledger hears of the revocation late": [
        *[("pass", 2), ("hold", 0, False, True), ("revoke", 0, "one"), ("hold", 1, False, True), ("ask", 1, "get")],
        *[("ledger", 1)] * 4,
        *[("ledger", 0)] * 2,
        *[("ledger", 1)] * 2,
        *[("ask", 1, "get"), ("ask", 1, "validate")],
    ],
}


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("name", STORIES)
def test_an_interleaving_that_is_told_by_its_name(name: str, ledger: bool) -> None:
    tell(STORIES[name], ledger=ledger)
