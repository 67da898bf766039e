"""Requests as octets, for the generators that send nothing else: the prober and wrk.

They ask for the identities that ``bench.load.seed`` has issued, each request from an address of its own.
"""

import random
from collections.abc import Mapping

from bench.workloads import CLIENTS, IDENTITIES, client, get_id, pair, post, proxied
from loadtest.plan import BATCH_ROWS, ROUTES

# As in the locustfile: one identity in 12 is new, one row in 20, and one validated identity in 50 was never issued.
NEW_ID_EVERY = 12
NEW_ROW_EVERY = 2
STRANGER_EVERY = 50
CYCLE = 5_000  # records; the proportions of the mix are exact to one part in it

PLACE = "@@@@@@"  # where six digits go that no other request of the run has


def id_record(address: bytes, index: int, *, new: bool = False) -> bytes:
    line = f"GET /api/v1/id?prefix=wrk&run={PLACE} HTTP/1.1\r\n".encode() if new else get_id(index)
    return line + proxied(address) + b"\r\n"


def batch_record(address: bytes, index: int, *, new: bool = False) -> bytes:
    pairs = [pair((index + step) % IDENTITIES) for step in range(BATCH_ROWS)]
    if new:
        pairs[-1] = ("wrk", PLACE)
    rows = [{"name": prefix, "prefix": prefix, "run": run} for prefix, run in pairs]
    return post(ROUTES["batch"], address, {"environments": rows})


def validate_record(address: bytes, index: int, suffix: str, *, stranger: bool = False) -> bytes:
    """``suffix`` is what follows prefix and run: "@domain/version:id"."""
    local = "nobody-x" if stranger else "-".join(pair(index))
    return post(ROUTES["validate"], address, {"identity": local + suffix})


def mix(rates: Mapping[str, float], suffix: str) -> list[tuple[str, bytes]]:
    """CYCLE records in the proportions of ``rates``, shuffled: (kind, octets, perhaps with a PLACE)."""
    chance = random.Random(1)
    total = sum(rates.values())
    kinds = [kind for kind, rate in rates.items() for _ in range(round(CYCLE * rate / total))]
    made: dict[str, int] = dict.fromkeys(rates, 0)
    found = []
    for kind in chance.sample(kinds, len(kinds)):
        made[kind] += 1
        turn, address, index = made[kind], client(chance.randrange(CLIENTS)), chance.randrange(IDENTITIES)
        if kind == "id":
            record = id_record(address, index, new=turn % NEW_ID_EVERY == 0)
        elif kind == "batch":
            record = batch_record(address, index, new=turn % NEW_ROW_EVERY == 0)
        else:
            record = validate_record(address, index, suffix, stranger=turn % STRANGER_EVERY == 0)
        found.append((kind, record))
    return found
