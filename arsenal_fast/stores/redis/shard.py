"""One shard of a Redis Cluster: sends its commands to the node that has its slot now, and is away by itself.

A shard is usable when its node has run our script with a write of the shard's own (``probe``): so what holds of one
Redis (connection.py) holds of each shard.

* MOVED: the slot is at another node from now on. The command goes there, as soon as there is a connection.
* ASK: the slot is being moved, and these keys are there already or new: the command goes there, this once (ASKING).
* TRYAGAIN: the slot is being moved, and some keys are here and some there. A key is in one place: so the rows are sent
  one by one, each a command with one key. While the revocations' keys move, a worker drops its cache to be sure.
* CLUSTERDOWN, a lost node: the shard is away until a node takes the probe.

A command waits for a node no longer than its own time-out.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from arsenal_fast.identity.revocation import Changes, Revoked
from arsenal_fast.identity.validity import IssueRow, Life
from arsenal_fast.ratelimit.client import Client, hits_of_rows
from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.redis import errors
from arsenal_fast.stores.redis.backend import probe
from arsenal_fast.stores.redis.batcher import in_pieces
from arsenal_fast.stores.redis.connection import OnReply
from arsenal_fast.stores.redis.identities import FindDone, IssueDone, RedisIdentities
from arsenal_fast.stores.redis.keys import Keys, slot_of
from arsenal_fast.stores.redis.limiter import SCRIPT, Done, RedisLimiter, packed_rows
from arsenal_fast.stores.redis.nodes import Node, Nodes
from arsenal_fast.stores.redis.resp import Reply, bulk, outage_of, pack, redirection
from arsenal_fast.stores.redis.revocations import (
    END,
    NOTIFY,
    OUTRUN,
    RedisRevocations,
    pass_item,
    read_amendments,
    read_epochs,
)
from arsenal_fast.stores.redis.url import Place

AGAIN: Final = 0.005  # seconds until a command that no node takes is sent again

_ASKING: Final = pack(b"ASKING")


class Shard:
    """The link of one shard, with its ports. ``changed`` is called when it comes and goes.

    ``number``: from 0. ``fault``: why it is away, in words that may be shown.
    """

    def __init__(
        self,
        number: int,
        tag: bytes,
        nodes: Nodes,
        counters: Counters,
        timeout: float,
        changed: Callable[["Shard"], None],
    ) -> None:
        self.number = number
        self.keys = Keys(tag)
        self.slot = slot_of(tag)
        self.counters = counters
        self.healthy = False
        self.fault = "no node of the cluster has been found yet"
        self.node: Node | None = None
        self.is_split = False
        """Whether the error that is handed on now says that the keys are in two places."""
        self._nodes = nodes
        self._timeout = timeout
        self._changed = changed
        self._probe = probe(self.keys)
        self._probing = False
        self._moved_at = 0.0
        self.limiter = ShardLimiter(self, self.keys)
        self.identities = ShardIdentities(self, self.keys)
        self.revocations = ShardRevocations(self, self.keys)

    def send(self, command: bytes, on_reply: OnReply, deadline: float | None = None) -> float:
        """Send one command to the node of this shard; returns its deadline (monotonic seconds)."""
        if deadline is None:
            deadline = monotonic() + self._timeout
        node = self.node
        if node is None or not self.healthy:
            on_reply(None)
        elif node.healthy:
            self._send(node, command, on_reply, deadline)
        else:
            self._send_later(command, on_reply, deadline)
        return deadline

    # Where the shard is

    def serve_from(self, place: Place) -> None:
        """Take what a map of slots says: it counts while the shard is away, or for the next probe."""
        node = self._nodes.at(place)
        if self.healthy and self.node is not None:
            self.node.used_at = node.used_at  # it has the slot until it says something else
        else:
            self._go_to(node)
            self.try_again()

    def _go_to(self, node: Node) -> None:
        if self.node is not None:
            self.node.shards -= 1
        self.node = node
        node.shards += 1

    def try_again(self) -> None:
        """Send the probe if the shard is away and its node is there."""
        node = self.node
        if not self.healthy and node is not None and node.healthy and not self._probing:
            self._probing = True
            node.send(SCRIPT.load, _ignore)
            node.send(self._probe, lambda reply: self._probed(node, reply))

    def lose(self, fault: str) -> None:
        """Be away."""
        self.fault = fault
        self.healthy = False
        self._changed(self)

    def _probed(self, node: Node, reply: Reply) -> None:
        self._probing = False
        if node is not self.node or reply is None:
            return
        if isinstance(reply, list):
            self.healthy, self.fault = True, ""
            self._changed(self)
            return
        redirected = redirection(reply)
        if redirected is not None and redirected[0] == "MOVED":
            self._move(node, *redirected[1:])
            self.try_again()
        elif redirected is not None and redirected[0] in ("ASK", "TRYAGAIN"):
            self.healthy, self.fault = True, ""  # it has the slot, which is on its way
            self._changed(self)
        else:
            self.lose(errors.of_reply(outage_of(reply)))

    def _move(self, said_by: Node, host: str, port: int) -> None:
        self._moved_at = monotonic()
        if port:
            self._go_to(self._nodes.at(Place(host or said_by.place.host, port)))
        self._nodes.look_soon()

    # Sending

    def _send(self, node: Node, command: bytes, on_reply: OnReply, deadline: float) -> None:
        def answered(reply: Reply) -> None:
            redirected = None if type(reply) is list else redirection(reply)
            if redirected is None:
                on_reply(reply)
            else:
                self._redirect(node, redirected, reply, command, on_reply, deadline)

        node.send(command, answered, deadline)

    def _redirect(
        self,
        node: Node,
        redirected: tuple[str, str, int],
        reply: Reply,
        command: bytes,
        on_reply: OnReply,
        deadline: float,
    ) -> None:
        code, host, port = redirected
        if code == "MOVED":
            wait = False
            if node is self.node:
                wait = monotonic() - self._moved_at < AGAIN  # two nodes that name each other
                self._move(node, host, port)
            self._send_later(command, on_reply, deadline, wait=wait)
        elif code == "ASK" and port:
            there = self._nodes.at(Place(host or node.place.host, port))
            if there.healthy:
                there.send(_ASKING, _ignore, deadline)
                self._send(there, command, on_reply, deadline)
            else:
                self._send_later(command, on_reply, deadline)
        elif code == "TRYAGAIN":
            self.is_split = True
            try:
                on_reply(reply)
            finally:
                self.is_split = False
        else:
            self.lose(errors.of_reply(code))
            on_reply(None)

    def _send_later(self, command: bytes, on_reply: OnReply, deadline: float, *, wait: bool = True) -> None:
        """Send a command when there is a node for it, or give it up at its deadline."""
        if monotonic() >= deadline:
            on_reply(None)
        elif not wait and self.node is not None and self.node.healthy:
            self._send(self.node, command, on_reply, deadline)
        else:
            self._nodes.later(AGAIN, self.send, command, on_reply, deadline)


class ShardLimiter(RedisLimiter):
    """The limiter of one shard; while its slot is being moved each row is a command."""

    __slots__ = ()

    _connection: Shard

    def _unanswered(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        if clients and self._connection.is_split:
            self._charge_one_by_one(clients, quantities, done)
        else:
            done(0, None)

    def _charge_one_by_one(self, clients: Sequence[Client], quantities: Sequence[int], done: Done) -> None:
        hits = hits_of_rows(clients, quantities)  # a row alone is charged without those linked with it

        def charge(piece: slice, each: Callable[[Sequence[int] | None], None]) -> None:
            at = piece.start
            packed = packed_rows(clients[at : at + 1], hits[at : at + 1], self._keys, linked=False)
            packed[1] = packed[2]  # in the place of the revision: a command with one key
            SCRIPT.run(self._connection, 1, packed, lambda reply: each(None if reply is None else reply[1:]))

        def with_revision(revision: int, nothing: Sequence[int] | None) -> None:
            def whole(backlogs: Sequence[int] | None) -> None:
                done(0 if backlogs is None else revision, backlogs)

            if nothing is None or not clients:
                done(revision, nothing)
            else:
                in_pieces(len(clients), 1, charge, whole)

        super()._charge([], [], with_revision)


class ShardIdentities(RedisIdentities):
    """The identities of one shard; while its slot is being moved each row is a command."""

    __slots__ = ()

    _connection: Shard

    def _issue(self, rows: Sequence[IssueRow], done: IssueDone, *, quiet: bool = False) -> None:
        def answered(issued: Sequence[object] | None) -> None:
            if issued is None and self._connection.is_split:
                in_pieces(len(rows), 1, lambda piece, each: super_issue(rows[piece], each, quiet=quiet), done)
            else:
                done(issued)  # type: ignore[arg-type]

        super_issue = super()._issue
        super_issue(rows, answered, quiet=quiet)

    def _find(self, ids: Sequence[str], done: FindDone) -> None:
        def answered(found: Sequence[object] | None) -> None:
            if found is None and self._connection.is_split:
                in_pieces(len(ids), 1, lambda piece, each: super_find(ids[piece], each), done)
            else:
                done(found)  # type: ignore[arg-type]

        super_find = super()._find
        super_find(ids, answered)


class ShardRevocations(RedisRevocations):
    """The revision, the log and the epochs of one shard, and the floors of its identities."""

    __slots__ = ()

    _connection: Shard

    def revoke(self, identity: str, life: Life | None, done: Callable[[Revoked | None], None]) -> None:
        """End every life of an identity of this shard up to now; its change is not counted yet: see ``notify``."""
        self._end(END, b"", identity, life, done)

    def notify(self, identity: str, done: Callable[[int | None], None]) -> None:
        """Count the revocation of an identity of any shard; ``done`` gets None for no answer."""

        def answered(reply: list[int] | None) -> None:
            if reply is None and self._connection.is_split:
                self.outrun(done)
            else:
                done(None if reply is None else reply[0])

        packed = [b"", self._keys.packed_log, bulk(identity.encode("utf-8", "surrogatepass"))]
        NOTIFY.run(self._connection, 0, packed, answered)

    def outrun(self, done: Callable[[int | None], None]) -> None:
        """Let each worker drop its whole cache; ``done`` gets None for no answer."""

        OUTRUN.run(self._connection, 0, [b"", self._keys.packed_revision], pass_item(0, done))

    def changes(self, since: int, done: Callable[[Changes | None], None]) -> None:
        """Read the changes since a revision; while the slot is being moved, the ids are not known."""

        def answered(changes: Changes | None) -> None:
            if changes is None and self._connection.is_split:
                self._connection.limiter.admit([], [], with_revision)
            else:
                done(changes)

        def with_revision(revision: int, nothing: Sequence[int] | None) -> None:
            # The rest after the revision: a change in between is read now, and seen again by the next revision.
            if nothing is None:
                done(None)
            else:
                command = pack(b"HGETALL", self._keys.epochs)
                self._connection.send(command, lambda reply: with_epochs(revision, reply))

        def with_epochs(revision: int, reply: Reply) -> None:
            epochs = read_epochs(reply)
            if epochs is None:
                done(None)
            else:
                command = pack(b"HGETALL", self._keys.amendments)
                self._connection.send(command, lambda reply: with_amendments(revision, epochs, reply))

        def with_amendments(revision: int, epochs: dict[str, int], reply: Reply) -> None:
            amendments = read_amendments(reply)
            done(None if amendments is None else Changes(revision, None, epochs, amendments))

        super().changes(since, answered)


def _ignore(reply: Reply) -> None:
    """Ignore a reply: the one to the command after it says more."""
