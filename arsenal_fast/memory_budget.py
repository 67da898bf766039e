"""The memory budget: bounds what clients can make one worker hold.

``shares`` divides the bytes of MEMORY_BUDGET among the workers, subtracts what every worker needs in any case, and
gives each table, queue and buffer its part of the rest. All of them full at once, with the longest keys that the
grammar allows, take no more than the budget; ``tests/integration/test_memory.py`` holds that with a real process.

Each byte figure here was measured with hostile keys: identities of 325 bytes, request lines of 1,024, IPv6
networks, an X-Forwarded-For of 128, token subjects of 128, request ids of 128.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final

MIB: Final = 1_048_576

BASE: Final = 50 * MIB
"""Of a worker without clients: 42 of interpreter, modules, TLS and both stores; the rest for access-log lines that
wait, verified service tokens and their end users, parsed addresses and hashes of batches."""

PARSING: Final = 44 * MIB
"""The largest body (1 MiB), its copies, and the objects that it parses to: ``[[[]],[[]],...``. One at a time."""

SUPERVISOR: Final = 24 * MIB
"""The supervisor process."""

SMALLEST: Final = 24 * MIB
"""A worker's least budget above the base: with less its tables hold next to nothing."""

OF_LIMIT: Final = 0.8
"""Of a cgroup's limit: the rest is for files in memory and the kernel's buffers of sockets, which count there too."""

OF_MACHINE: Final = 0.25
"""Of the machine's memory, where no cgroup bounds the process: others live there, too."""

MOST_OF_MACHINE: Final = 2048 * MIB
"""For a worker: then its caches hold 32,768 identities, request lines and validations, and 4,000 batches of ten."""

RECORD: Final = 1_800
RECORD_BYTE: Final = 11
"""A cached identity with all its responses rendered: 2,250 bytes for an id of 45, 5,180 for one of 320."""

REFERENCE: Final = 400
"""Overhead of an entry by request line or body, with its record: on top of its key and the identity."""

CLIENT: Final = 260
FORWARDED: Final = 420
CELL: Final = 340
IDENTITY: Final = 660
LEDGER_ROW: Final = 1_350
"""A row whose callback still waits for the ledger."""
LEDGER_ENTRY: Final = 180
"""Rows that wait for a ledger that is away, on top of their bytes: 320 in all for a row of usual length."""
CONNECTION: Final = 3_584
TLS_CONNECTION: Final = 28_672
"""A connection after requests of one kind, with nothing to parse or send; those of a second kind take 2 KB more."""
ROW: Final = 6_144
"""A row of work in flight: its cache entry, its ledger row, its store command, its part of the response."""


_GENERATIONS: Final = 2


@dataclass(frozen=True, slots=True)
class _Part:
    """One share of the plan: ``parts`` of the rest of the budget, ``size_bytes`` of each entry, ``most`` entries.

    ``most``: a larger table does not help, and growing one of millions makes pauses.
    """

    parts: int
    size_bytes: int
    most: int

    def entries(self, size_bytes: int, total: int) -> int:
        """Return the entries that fit into this part of ``total`` parts of ``size_bytes``: at least one."""
        return min(max(size_bytes * self.parts // total // self.size_bytes, 1), self.most)


def _share(parts: int, size_bytes: int, most: int = 1 << 40) -> Any:
    """Return the attribute of one share, which holds its part of the plan."""
    return field(metadata={"part": _Part(parts, size_bytes, most)})


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of one worker: bytes of each of a cache's two generations, entries, or bytes in all."""

    records: int = _share(29, _GENERATIONS)
    """Bytes: cached identities, with their rendered responses."""
    lines: int = _share(8, _GENERATIONS)
    """Bytes: cached request lines."""
    verdicts: int = _share(5, _GENERATIONS)
    """Bytes: cached bodies of validations."""
    batches: int = _share(8, _GENERATIONS)
    """Bytes: cached bodies of batches, with the pieces of their responses."""
    clients: int = _share(5, _GENERATIONS * CLIENT)
    """Entries: cached clients by address."""
    forwarded: int = _share(6, _GENERATIONS * FORWARDED)
    """Entries: cached clients by X-Forwarded-For."""
    cells: int = _share(6, CELL, 65_536)
    """Entries: limiter cells of the embedded store, which limits while Redis is away."""
    identities: int = _share(8, IDENTITY, 65_536)
    """Entries: identities of the embedded store, which issues while Redis is away."""
    ledger_rows: int = _share(24, 1, 64 * MIB)
    """Bytes: rows that wait for the ledger."""
    connections: int = _share(17, CONNECTION, 10_000)
    """Entries: open connections, without their data."""
    unfinished: int = _share(12, 1, 64 * MIB)
    """Bytes: incomplete requests, heads and bodies."""
    unsent: int = _share(10, 1, 64 * MIB)
    """Bytes: responses that their clients have not read."""
    rows_in_flight: int = _share(12, ROW, 20_000)
    """Entries: rows of batches and validations in work."""


_PLAN: Final[dict[str, _Part]] = {each.name: each.metadata["part"] for each in fields(Shares)}


def shares(
    budget: int, workers: int = 1, *, tls: bool = False, ledger: bool = True, connections: int | None = None
) -> Shares:
    """Divide the bytes of the whole service; never less than ``SMALLEST`` for a worker.

    ``connections``: as configured; None gives them their part.
    """
    cost = TLS_CONNECTION if tls else CONNECTION
    left = _of_worker(budget, workers)
    plan = dict(_PLAN)
    if not ledger:
        plan["ledger_rows"] = _Part(0, 1, 1)
    if tls:
        plan["connections"] = _Part(2 * _PLAN["connections"].parts, TLS_CONNECTION, 10_000)
    if connections is not None:
        left -= connections * cost
        del plan["connections"]
    left = max(left, SMALLEST)
    total = sum(part.parts for part in plan.values())
    share = {name: part.entries(left, total) for name, part in plan.items()}
    if connections is not None:
        share["connections"] = connections
    return Shares(**share)


def faults(
    budget: int, limit: int | None, workers: int, *, tls: bool = False, connections: int | None = None
) -> Iterator[str]:
    """Yield sentences about a budget that can't be kept. ``limit``: of the cgroup, None where there is none."""
    if limit is not None and budget > limit:
        yield f"MEMORY_BUDGET is {megabytes(budget)}, but the container may use {megabytes(limit)}."
    needed = workers * (BASE + PARSING + SMALLEST) + (SUPERVISOR if workers > 1 else 0)
    if budget < needed:
        plural = f"{workers} workers need" if workers > 1 else "a worker needs"
        yield f"MEMORY_BUDGET is {megabytes(budget)}, but {plural} {megabytes(needed)}."
    elif connections is not None:
        size_bytes = connections * (TLS_CONNECTION if tls else CONNECTION)
        if _of_worker(budget, workers) - size_bytes < SMALLEST:
            yield (
                f"MAX_CONNECTIONS is {connections}, which take {megabytes(size_bytes)} in each worker: "
                f"more than MEMORY_BUDGET of {megabytes(budget)} has left."
            )


def _of_worker(budget: int, workers: int) -> int:
    """Return the bytes of one worker that are to be divided."""
    return (budget - (SUPERVISOR if workers > 1 else 0)) // workers - BASE - PARSING


def of_container(limit: int) -> int:
    """The budget where none is set, within a cgroup's limit."""
    return int(limit * OF_LIMIT)


def of_machine(memory: int, workers: int) -> int:
    """The budget where none is set and no cgroup has a limit; ``memory``: what the machine has."""
    return min(int(memory * OF_MACHINE), workers * MOST_OF_MACHINE)


def megabytes(size_bytes: int) -> str:
    """Format a size as an operator would write it."""
    return f"{size_bytes / MIB:.0f}M"


# The weights of cache entries.


def weigh_record(identity: str, _record: object) -> int:
    """Return the weight of a cached identity, as if all its responses were rendered.

    Also where only its life is kept, which takes 320 bytes: four times as many of those made a million identities no
    cheaper, and took twice the memory.
    """
    return RECORD + RECORD_BYTE * len(identity)


def weigh_reference(key: bytes | str, others: int) -> int:
    """Return the weight of an entry that refers to a record; ``others``: bytes next to its key."""
    return REFERENCE + len(key) + others


DEFAULT: Final = shares(of_container(256 * MIB))
"""Of one worker in the guide's container."""
