"""A batch has a row for each cell of its clients."""

from math import inf

from arsenal_fast.api.batches import Batch
from arsenal_fast.ratelimit.client import Cell, Client, OnBehalf, PlannedClient, TokenHolder
from arsenal_fast.ratelimit.headers import Plan
from arsenal_fast.ratelimit.quota import UNLIMITED, Quota

QUOTA = Quota(10, 10)


def test_the_cells_of_a_client_have_the_next_rows_and_its_hits() -> None:
    batch = Batch()
    holder = TokenHolder(b"sub:bot", QUOTA, frozenset(), inf, per_subject=QUOTA)
    one, other = OnBehalf(holder, b"tg-1"), Client(b"192.0.2.1", QUOTA)
    for client, hits in ((one, 3), (other, 2)):
        batch.rows[client] = len(batch.rows)
        batch.quantities.append(hits)
        if client.plan is not None:
            batch.add_cells(client)
    assert batch.rows == {one: 0, one.also[0]: 1, other: 2}
    assert batch.quantities == [3, 0, 2]
    assert counted(batch) == {b"sub:bot": 3, b"sub:bot>tg-1": 3, b"192.0.2.1": 2}


def test_without_plans_the_hits_are_the_quantities() -> None:
    batch = Batch()
    batch.rows[Client(b"192.0.2.1", QUOTA)] = 0
    batch.quantities.append(4)
    assert counted(batch) == {b"192.0.2.1": 4}
    assert batch.callers()[1] is batch.quantities


def test_a_caller_under_several_policies_counts_once_and_a_look_not_at_all() -> None:
    batch = Batch()
    caller = Client(b"192.0.2.1", UNLIMITED)

    def planned() -> PlannedClient:
        cells = [Cell(caller.key_bytes, b"192.0.2.1<" + name, QUOTA) for name in (b"burst", b"hour")]
        return PlannedClient(caller, cells, Plan((QUOTA, QUOTA)))

    charged, looking = planned(), planned()
    for client, hits in ((charged, 3), (looking, 0)):
        batch.rows[client] = len(batch.rows)
        batch.quantities.append(hits)
        batch.add_cells(client)
    assert counted(batch) == {b"192.0.2.1": 3}


def counted(batch: Batch) -> dict[bytes, int]:
    keys, hits = batch.callers()
    return dict(zip(keys, hits, strict=True))
