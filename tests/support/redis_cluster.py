"""A real Redis Cluster on free ports of 127.0.0.1: masters, each with a replica; all of it is ended with the test."""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from arsenal_fast.stores.redis.keys import SLOTS, slot_of, spread_over, tags_of
from arsenal_fast.stores.redis.url import SHARDS
from tests.support.certificates import Pair
from tests.support.redis_server import RedisServer, free_port

TAGS = tags_of(SHARDS)
shard_of = spread_over(SHARDS)
"""The shard of a client by its key, or of an identity by its name, where the URL says nothing of shards."""
PATIENCE = 20.0  # seconds until the nodes agree
NODE_TIMEOUT = 1000  # ms that a node is silent before the others take it for dead


class RedisCluster:
    """``masters`` and ``replicas`` in the same order, as they began.

    ``pair``: of TLS, which the URL is of then; commands of tests go without.
    """

    def __init__(
        self, masters: int = 3, *, replicas: bool = True, options: Sequence[str] = (), pair: Pair | None = None
    ) -> None:
        self._options = options
        self._pair = pair
        self._tls_ports: dict[int, int] = {}
        """By the port without."""
        self._taken: set[int] = set()
        """The ports of all servers and their buses, though not all have begun."""
        self.masters = [self._server() for _ in range(masters)]
        self.replicas = [self._server() for _ in range(masters)] if replicas else []
        self.added: list[RedisServer] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        for server in self.servers:
            server.start()
        bounds = [SLOTS * number // len(self.masters) for number in range(len(self.masters) + 1)]
        for number, master in enumerate(self.masters):
            master.command("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))  # 6.2 takes no range
            master.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            self._meet(server)
        wanted = b"cluster_known_nodes:%d" % len(self.servers)
        self._until(lambda: all(wanted in info(server) for server in self.servers))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.command("CLUSTER", "REPLICATE", identity(master))
        self._until(lambda: all(b"cluster_state:ok" in info(server) for server in self.servers))
        self._until(lambda: all(_is_in_step(replica) for replica in self.replicas))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.__exit__(kind, error, trace)

    @property
    def servers(self) -> list[RedisServer]:
        """All of them."""
        return [*self.masters, *self.replicas, *self.added]

    @property
    def url(self) -> str:
        """The REDIS_URL of the service, which names two nodes."""
        ports = [server.port for server in self.servers[:2]]
        if self._pair is None:
            return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)
        hosts = ",".join(f"127.0.0.1:{self._tls_ports[port]}" for port in ports)
        return f"rediss+cluster://{hosts}?ssl_ca_certs={self._pair.certificate}"

    def add(self) -> RedisServer:
        """Let a master without slots join."""
        server = self._server()
        self.added.append(server)
        server.start()
        self._meet(server)
        running = [each for each in self.servers if each.running]
        self._until(lambda: all(identity(server) in nodes(each) for each in running))
        self._until(lambda: b"cluster_state:ok" in info(server))
        return server

    def serves(self, slot: int) -> RedisServer:
        """The master that has a slot, as it says itself."""
        return next(each for each in self.servers if each.running and _has(each, slot))

    def shards_of(self, server: RedisServer, shards: int = SHARDS) -> list[int]:
        """The shards whose slots this server has, of so many."""
        return [number for number, tag in enumerate(tags_of(shards)) if _has(server, slot_of(tag))]

    def begin_to_move(self, slot: int, target: RedisServer) -> RedisServer:
        """Let a slot be between two masters; returns the one it comes from."""
        source = self.serves(slot)
        assert target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", identity(source)) == b"OK"
        assert source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", identity(target)) == b"OK"
        return source

    def move_keys(self, slot: int, source: RedisServer, target: RedisServer, count: int) -> int:
        """Move so many keys of a slot; returns how many there were."""
        keys = source.command("CLUSTER", "GETKEYSINSLOT", slot, count)
        assert isinstance(keys, list)
        if keys:
            reply = source.command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *keys)
            assert reply in (b"OK", b"NOKEY"), reply
        return len(keys)

    def end_move(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Move the rest, and let the slot be the target's."""
        while self.move_keys(slot, source, target, 100):
            pass
        for server in (target, source, *(each for each in self.servers if each.running and _is_master(each))):
            assert server.command("CLUSTER", "SETSLOT", slot, "NODE", identity(target)) == b"OK"

    def _server(self) -> RedisServer:
        port = _port(self._taken)
        tls: list[str] = []
        if self._pair is not None:
            self._tls_ports[port] = _port(self._taken)
            tls = ["--tls-port", str(self._tls_ports[port]), "--tls-auth-clients", "no", "--tls-cluster", "yes"]
            files = {"cert": self._pair.certificate, "key": self._pair.key, "ca-cert": self._pair.certificate}
            tls += [text for name, path in files.items() for text in (f"--tls-{name}-file", str(path))]
        return RedisServer(
            *("--cluster-enabled", "yes", "--cluster-config-file", f"nodes-{port}.conf"),
            *("--cluster-node-timeout", str(NODE_TIMEOUT), "--cluster-require-full-coverage", "no"),
            *("--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"),
            *self._options,
            *tls,
            port=port,
        )

    def _meet(self, server: RedisServer) -> None:
        first = next(each for each in self.servers if each.running and each is not server)
        assert server.command("CLUSTER", "MEET", "127.0.0.1", self._tls_ports.get(first.port, first.port)) == b"OK"

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "the nodes do not agree"
            time.sleep(0.02)  # nobody announces it


def _port(taken: set[int]) -> int:
    """A port that was free a moment ago, as was the one 10,000 above, which the bus has; both are ``taken`` then."""
    while True:
        port = free_port()
        both = {port, port + 10_000}
        with socket.socket() as probe, suppress(OSError, OverflowError):
            probe.bind(("127.0.0.1", port + 10_000))
            if both.isdisjoint(taken):
                taken |= both
                return port


def info(server: RedisServer) -> bytes:
    """What CLUSTER INFO says."""
    reply = server.command("CLUSTER", "INFO")
    assert isinstance(reply, bytes)
    return reply


def identity(server: RedisServer) -> bytes:
    """The id of a node."""
    reply = server.command("CLUSTER", "MYID")
    assert isinstance(reply, bytes)
    return reply


def nodes(server: RedisServer) -> bytes:
    """What CLUSTER NODES says."""
    reply = server.command("CLUSTER", "NODES")
    assert isinstance(reply, bytes)
    return reply


def _is_master(server: RedisServer) -> bool:
    role = server.command("ROLE")
    return isinstance(role, list) and role[0] == b"master"


def _is_in_step(replica: RedisServer) -> bool:
    told = replica.command("INFO", "replication")
    return isinstance(told, bytes) and b"role:slave" in told and b"master_link_status:up" in told


def _has(server: RedisServer, slot: int) -> bool:
    own = next(line for line in nodes(server).splitlines() if b"myself" in line).split(b" ")
    if b"master" not in own[2]:
        return False
    for text in own[8:]:
        if not text.startswith(b"["):
            first, _, last = text.partition(b"-")
            if int(first) <= slot <= int(last or first):
                return True
    return False
