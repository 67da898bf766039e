"""A Redis Cluster as the shared store: several shards (keys.py), each away or there by itself.

Clients and identities are spread over the shards, and each shard has a revision, a log and epochs of its own. What is
admitted by one shard carries the revision of that shard alone. So a revocation is written to all of them before it is
answered, first where the identity is, and none is accepted while a shard is away; an amendment of service tokens, too.

Commands of one tick for shards of one node are one write (nodes.py).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from arsenal_fast.identity.amendments import Amendment
from arsenal_fast.identity.revocation import Revoked
from arsenal_fast.identity.validity import IssueRow, Life
from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.redis.backend import greeting
from arsenal_fast.stores.redis.batcher import gather
from arsenal_fast.stores.redis.connection import IDLE
from arsenal_fast.stores.redis.identities import FindDone, IssueDone
from arsenal_fast.stores.redis.info import SCRIPT as INFO
from arsenal_fast.stores.redis.keys import name_of, spread_over, tags_of
from arsenal_fast.stores.redis.nodes import Node, Nodes, Range
from arsenal_fast.stores.redis.revocations import NOTIFY
from arsenal_fast.stores.redis.shard import Shard
from arsenal_fast.stores.redis.url import Place, parse_url

NO_MAP: Final = "it does not say which node has which slots (is redis:// meant?)"
NO_NODE: Final = "no node of the cluster has its slot"

logger = logging.getLogger(__name__)


class ClusterBackend:
    """The shards of a cluster, with the ports of all of them and of each.

    Arguments as of RedisBackend. ``on_return`` is called when shards can be used again after an outage.
    """

    def __init__(self, url: str, *, jitter: Callable[[], float], timeout: float = 0.25, idle: float = IDLE) -> None:
        address = parse_url(url)
        opening = [*greeting(address), NOTIFY.load]
        self.on_return: Callable[[], None] | None = None
        self.counters = Counters()
        self._timeout = timeout
        self._nodes = Nodes(
            address,
            opening,
            counters=self.counters,
            learned=self._learn,
            changed=self._node_changed,
            is_whole=lambda: self.healthy,
            timeout=timeout,
            jitter=jitter,
            idle=idle,
        )
        self.shards = [
            Shard(number, tag, self._nodes, self.counters, timeout, self._changed)
            for number, tag in enumerate(tags_of(address.shards))
        ]
        self.shard_of = spread_over(address.shards)
        self.identities = ClusterIdentities(self.shards, self.shard_of_identity)
        self.revocations = ClusterRevocations(self.shards, self.shard_of_identity)
        self.info = ClusterInfo(self.shards, self.counters)
        self._logged: dict[int, set[str]] = {}  # by the shards that are away: the reasons that were logged
        self._unlogged: set[int] = set()  # shards that came or went in this tick
        self._settled = asyncio.Event()

    def shard_of_identity(self, identity: str) -> int:
        """Return the shard of an identity."""
        return self.shard_of(name_of(identity))

    @property
    def healthy(self) -> bool:
        """Whether all shards can be used now."""
        return all(shard.healthy for shard in self.shards)

    @property
    def fault(self) -> str:
        """Which shards can't be used, and why, in words that may be shown; empty while all can."""
        away: dict[str, list[int]] = {}
        for shard in self.shards:
            if not shard.healthy:
                away.setdefault(shard.fault, []).append(shard.number)
        return "; ".join(f"{self._named(numbers)}: {fault}" for fault, numbers in away.items())

    @property
    def status(self) -> str:
        """One word: healthy or unavailable."""
        return "healthy" if self.healthy else "unavailable"

    async def start(self) -> None:
        """Find the nodes; waits at most two time-outs for the shards: they may come later."""
        self._nodes.start()
        try:
            async with asyncio.timeout(2 * self._timeout):
                await self._settled.wait()
        except TimeoutError:
            for shard in self.shards:
                self._changed(shard)

    async def close(self) -> None:
        """Close; commands in flight get None."""
        for shard in self.shards:
            shard.healthy = False
        await self._nodes.close()

    def _learn(self, node: Node, ranges: Sequence[Range] | None) -> None:
        for shard in self.shards:
            place = None if ranges is None else _place_of(shard.slot, ranges)
            if place is not None:
                shard.serve_from(place)
            elif not shard.healthy:
                shard.lose(NO_MAP if ranges is None else NO_NODE)

    def _node_changed(self, node: Node) -> None:
        for shard in self.shards:
            if shard.node is node or (shard.node is None and not node.healthy):
                if node.healthy:
                    shard.try_again()
                else:
                    shard.lose(node.fault)

    def _changed(self, shard: Shard) -> None:
        """Log what has changed at the end of this tick: the shards of a node come and go together."""
        if not shard.healthy:
            self._nodes.look_soon()
        elif self.healthy:
            self._settled.set()
        if not self._unlogged:
            asyncio.get_running_loop().call_soon(self._log_changes)
        self._unlogged.add(shard.number)

    def _log_changes(self) -> None:
        changed, self._unlogged = self._unlogged, set()
        away: dict[str, list[int]] = {}
        back = []
        for number in sorted(changed):
            shard = self.shards[number]
            if shard.healthy:
                if self._logged.pop(number, None) is not None:
                    back.append(number)
            elif shard.fault not in (logged := self._logged.setdefault(number, set())):
                logged.add(shard.fault)
                away.setdefault(shard.fault, []).append(number)
        for fault, numbers in away.items():
            logger.warning("%s of Redis can't be used: %s", self._named(numbers), fault)
        if back:
            logger.info("%s of Redis can be used again", self._named(back))
            self.revocations.returned(back)
            if self.on_return is not None:
                self.on_return()

    def _named(self, numbers: Sequence[int]) -> str:
        """Return the shards as the log and the health response name them."""
        return f"shard{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} of {len(self.shards)}"


class ClusterIdentities:
    """The IdentityStore port over all shards: no answer where one of the shards that are needed has none."""

    def __init__(self, shards: Sequence[Shard], shard_of: Callable[[str], int]) -> None:
        self._shards = shards
        self._shard_of = shard_of

    def issue(self, rows: Sequence[IssueRow], done: IssueDone) -> None:
        """Issue all rows; ``done`` gets the result of each, in order, or None for no answer."""

        def send(number: int, indexes: Sequence[int], answered: IssueDone) -> None:
            self._shards[number].identities.issue([rows[index] for index in indexes], answered)

        gather(self._by_shard(row.id for row in rows), send, done)

    def confirm(self, rows: Sequence[IssueRow]) -> None:
        """Confirm lives that the ledger has."""
        for number, indexes in self._by_shard(row.id for row in rows).items():
            self._shards[number].identities.confirm([rows[index] for index in indexes])

    def find(self, ids: Sequence[str], done: FindDone) -> None:
        """Look up; ``done`` gets each identity's record, its life over or not, or None; or None for no answer."""

        def send(number: int, indexes: Sequence[int], answered: FindDone) -> None:
            self._shards[number].identities.find([ids[index] for index in indexes], answered)

        gather(self._by_shard(ids), send, done)

    def _by_shard(self, ids: Iterable[str]) -> dict[int, list[int]]:
        """Return the indexes of the ids by their shard."""
        groups: dict[int, list[int]] = {}
        for index, identity in enumerate(ids):
            groups.setdefault(self._shard_of(identity), []).append(index)
        return groups


class ClusterRevocations:
    """Revokes in all shards; refused while one of them is away."""

    def __init__(self, shards: Sequence[Shard], shard_of: Callable[[str], int]) -> None:
        self._shards = shards
        self._shard_of = shard_of
        self._behind: set[int] = set()
        """The shards that gave no answer when they were to count a revocation or an amendment."""

    def revoke(self, identity: str, life: Life | None, done: Callable[[Revoked | None], None]) -> None:
        """End every life of the identity up to now; ``life``: the newest one that the caller knows."""

        def ended(revoked: Revoked | None) -> None:
            # A dead one is counted again: the caller before may have had no answer.
            if revoked is None or not revoked.known:
                done(revoked)
            else:
                self._in_all(notify, lambda revisions: done(None if revisions is None else revoked))

        def notify(number: int, answered: Callable[[int | None], None]) -> None:
            def heard(revision: int | None) -> None:
                if revision is None:
                    self._behind.add(number)
                answered(revision)

            self._shards[number].revocations.notify(identity, heard)

        if self._is_whole():
            self._shards[self._shard_of(identity)].revocations.revoke(identity, life, ended)
        else:
            done(None)

    def set_epoch(self, prefix: str | None, before: int, done: Callable[[int | None], None]) -> None:
        """Raise an epoch in all shards; ``done`` gets the epoch in force, which never falls, or None for no answer.

        "Up to now" is a matter of each shard's own clock: the latest of them is then raised everywhere.
        """

        def raised(epochs: Sequence[int] | None) -> None:
            if epochs is None or len(set(epochs)) == 1:
                done(None if epochs is None else epochs[0])
            else:
                self.set_epoch(prefix, max(epochs), done)

        if self._is_whole():
            self._in_all(lambda number, each: self._shards[number].revocations.set_epoch(prefix, before, each), raised)
        else:
            done(None)

    def amend(self, key: str, amendment: Amendment, done: Callable[[bool | None], None]) -> None:
        """Write an amendment of service tokens to all shards; ``done`` gets whether it is in force in all of them."""

        def written(in_force: Sequence[int] | None) -> None:
            done(None if in_force is None else all(in_force))

        def write(number: int, answered: Callable[[bool | None], None]) -> None:
            def heard(in_force: bool | None) -> None:
                if in_force is None:
                    self._behind.add(number)
                answered(in_force)

            self._shards[number].revocations.amend(key, amendment, heard)

        if self._is_whole():
            self._in_all(write, written)
        else:
            done(None)

    def returned(self, numbers: Iterable[int]) -> None:
        """Let every worker drop its cache that has not heard of a revocation through one of these shards."""
        for number in self._behind.intersection(numbers):
            self._behind.discard(number)
            self._shards[number].revocations.outrun(partial(self._outran, number))

    def _outran(self, number: int, revision: int | None) -> None:
        if revision is None:
            self._behind.add(number)

    def _is_whole(self) -> bool:
        return all(shard.healthy for shard in self._shards)

    def _in_all(
        self,
        send: Callable[[int, Callable[[int | None], None]], None],
        done: Callable[[Sequence[int] | None], None],
    ) -> None:
        """Send to each shard; ``done`` gets the answer of each, or None if one has none."""

        def one(number: int, _: Sequence[int], answered: Callable[[Sequence[int] | None], None]) -> None:
            send(number, lambda answer: answered(None if answer is None else [answer]))

        gather({number: [number] for number in range(len(self._shards))}, one, done)


class ClusterInfo:
    """Polls each shard: its shared keys count as used, and memory and evictions of each node are read once."""

    def __init__(self, shards: Sequence[Shard], counters: Counters) -> None:
        self._shards = shards
        self._counters = counters
        self._evicted: dict[Place, int] = {}
        """The count of evictions of each node at the last poll."""

    def poll(self) -> None:
        """Send the poll; its replies set the counters, where a node without a reply counts as nothing."""
        places: dict[int, Place] = {shard.number: shard.node.place for shard in self._shards if shard.node is not None}
        by_place: dict[Place, list[int]] = {}
        missing = len(self._shards)

        def take(number: int, figures: list[int] | None) -> None:
            nonlocal missing
            missing -= 1
            if figures is not None and number in places:
                by_place[places[number]] = figures
            if not missing:
                self._take(by_place)

        for shard in self._shards:
            INFO.run(shard, 0, [b"", shard.keys.packed_all], partial(take, shard.number))

    def _take(self, by_place: Mapping[Place, list[int]]) -> None:
        counters = self._counters
        counters.memory_used = sum(used for _, used, _ in by_place.values())
        counters.memory_limit = sum(limit for _, _, limit in by_place.values())
        for place, (evicted, _, _) in by_place.items():
            before = self._evicted.get(place, evicted)
            counters.evictions += evicted - before if evicted >= before else evicted
            self._evicted[place] = evicted


def _place_of(slot: int, ranges: Sequence[Range]) -> Place | None:
    return next((each.place for each in ranges if each.first <= slot <= each.last), None)
