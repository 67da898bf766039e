"""The nodes of a Redis Cluster: a connection to each master, and which of them says that it serves which slots.

CLUSTER SLOTS is sent to each node that has become usable, and to one of them every few seconds: ten times a second
while a shard is not served, when those of the URL are tried again, too. A node that has served nothing for a while is
let go.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Final, NamedTuple

from arsenal_fast.stores.counters import Counters
from arsenal_fast.stores.redis.connection import IDLE, Connection, OnReply, Owner, Stream
from arsenal_fast.stores.redis.resp import REDIRECTIONS, Reply, pack
from arsenal_fast.stores.redis.url import Place, RedisAddress

LOOK: Final = 0.1  # seconds between looks while a shard is not served
LOOK_WHOLE: Final = 5.0  # and otherwise: a node that was added has a connection before a slot moves there
UNUSED: Final = 30.0  # seconds after which a connection that serves nothing is closed

_SLOTS: Final = pack(b"CLUSTER", b"SLOTS")


class Range(NamedTuple):
    """Slots from ``first`` to ``last``, and the master that has them."""

    first: int
    last: int
    place: Place


class NodeStream(Stream):
    """Writes the commands of one tick together at its end where the node serves several shards, otherwise at once."""

    _owner: "Node"

    def __init__(self, owner: Owner, attempt: int = 0, place: Place | None = None) -> None:
        super().__init__(owner, attempt, place)
        self._unsent: list[bytes] = []
        # Kept: asyncio.get_running_loop() is a system call before Python 3.12.
        self._call_soon = asyncio.get_running_loop().call_soon

    def send(self, command: bytes, on_reply: OnReply, deadline: float, now: float) -> None:
        if self._owner.shards <= 1 and not self._unsent:
            super().send(command, on_reply, deadline, now)
            return
        self.pending.append((deadline, now, on_reply))
        if not self._unsent:
            self._call_soon(self._write)
        self._unsent.append(command)

    def _write(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"".join(unsent))


class Node(Connection):
    """The connection to one node; ``changed`` is called when it becomes usable, and with each reason why it is not."""

    handed_on = REDIRECTIONS
    stream_type = NodeStream

    def __init__(
        self,
        place: Place,
        address: RedisAddress,
        opening: Sequence[bytes],
        *,
        counters: Counters,
        changed: Callable[["Node"], None],
        timeout: float,
        jitter: Callable[[], float],
        idle: float,
    ) -> None:
        own = replace(address, host=place.host, port=place.port, nodes=())
        super().__init__(own, opening, timeout=timeout, jitter=jitter, idle=idle)
        self.place = place
        self.name = f"the node {place} of Redis"
        self.counters = counters
        self.used_at = monotonic()
        self.shards = 0
        """How many shards send their commands here."""
        self._changed = changed

    def _welcome(self) -> None:
        super()._welcome()
        self._changed(self)

    def _again(self, reason: str) -> None:
        super()._again(reason)
        self._changed(self)


class Nodes:
    """The connections of one worker, by place. All of them count in ``counters``.

    ``learned`` is called with a node and its map of slots, or None where its reply is no such map;
    ``changed`` with a node that has become usable, or is not any more. ``is_whole``: whether all shards are served.
    """

    def __init__(
        self,
        address: RedisAddress,
        opening: Sequence[bytes],
        *,
        counters: Counters,
        learned: Callable[[Node, Sequence[Range] | None], None],
        changed: Callable[[Node], None],
        is_whole: Callable[[], bool],
        timeout: float,
        jitter: Callable[[], float],
        idle: float = IDLE,
    ) -> None:
        self._seeds = address.nodes
        self._learned = learned
        self._changed = changed
        self._is_whole = is_whole
        self._make: Callable[[Place], Node] = partial(
            Node,
            address=address,
            opening=opening,
            counters=counters,
            changed=self._health_changed,
            timeout=timeout,
            jitter=jitter,
            idle=idle,
        )
        self._make(self._seeds[0])  # a ValueError for files of TLS that are no use comes now
        self._nodes: dict[Place, Node] = {}
        self._looks = 0
        self._timer: asyncio.Handle | None = None
        self._look_at = 0.0  # monotonic seconds at which it goes off
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self) -> None:
        """Connect to the nodes of the URL."""
        self._look()

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for place in list(self._nodes):
            self._let_go(place)
        if self._closing:
            await asyncio.wait(self._closing)

    def at(self, place: Place) -> Node:
        """Return the node at a place, which counts as used now; a new one begins to connect."""
        node = self._nodes.get(place)
        if node is None:
            node = self._nodes[place] = self._make(place)
            node.open()
        node.used_at = monotonic()
        return node

    def look_soon(self) -> None:
        """Request the map of slots in a moment: a shard is not served."""
        if self._look_at > monotonic() + LOOK:
            self._look_in(0.0)

    def later(self, seconds: float, callback: Callable[..., object], *arguments: Any) -> asyncio.Handle:
        """Call back after some seconds."""
        return asyncio.get_running_loop().call_later(seconds, callback, *arguments)

    def _health_changed(self, node: Node) -> None:
        if self._closed:
            return
        if node.healthy:
            self._request_slots(node)
        self._changed(node)

    def _look(self) -> None:
        if self._closed:
            return
        usable = [node for node in self._nodes.values() if node.healthy]
        if usable:
            self._looks += 1
            self._request_slots(usable[self._looks % len(usable)])
            self._let_go_unused()
        if self._is_whole():
            self._look_in(LOOK_WHOLE)
        else:
            for place in self._seeds:
                self.at(place)
            self._look_in(LOOK)

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._look_at = monotonic() + seconds
        self._timer = self.later(seconds, self._look)

    def _request_slots(self, node: Node) -> None:
        node.send(_SLOTS, lambda reply: self._slots_received(node, reply))

    def _slots_received(self, node: Node, reply: Reply) -> None:
        if reply is not None and not self._closed:
            self._learned(node, read_slots(reply, node.place))

    def _let_go_unused(self) -> None:
        since = monotonic() - UNUSED
        for place in [place for place, node in self._nodes.items() if node.used_at < since]:
            self._let_go(place)

    def _let_go(self, place: Place) -> None:
        task = asyncio.get_running_loop().create_task(self._nodes.pop(place).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def read_slots(reply: Reply, sender: Place) -> list[Range] | None:
    """Parse the reply to CLUSTER SLOTS; None where it is none. ``sender``: its host stands for a missing one."""
    if not isinstance(reply, list):
        return None
    ranges = []
    for entry in reply:
        match entry:
            case [int(first), int(last), [(bytes() | None) as host, int(port), *_], *_] if 0 < port < 65_536:
                if host != b"?":  # cluster-preferred-endpoint-type hostname, and it has none
                    name = host.decode("ascii", "replace") if host else sender.host
                    ranges.append(Range(first, last, Place(name, port)))
            case _:
                return None
    return ranges
