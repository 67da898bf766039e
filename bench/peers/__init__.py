"""Other servers with the same duties, to measure beside the service: one ``Server`` row each."""

from dataclasses import replace

from bench.servers import SERVICE, Server

# What the ledger costs where it is asked: a new identity is answered after its commit.
WITH_LEDGER = replace(
    SERVICE,
    name="arsenal_fast with SQLite ledger",
    environment={**SERVICE.environment, "DATABASE_URL": "sqlite:///{scratch}.db"},
    workloads=frozenset({"issuing"}),
)

PEERS: tuple[Server, ...] = (WITH_LEDGER,)
