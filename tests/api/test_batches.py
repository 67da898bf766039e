"""A batch has a row for each cell of its clients."""

from math import inf

from arsenal_fast.api.batches import Batch
from arsenal_fast.ratelimit.client import Client, OnBehalf, TokenHolder
from arsenal_fast.ratelimit.quota import Quota

QUOTA = Quota(10, 10)


def test_the_cells_of_a_client_have_the_next_rows_and_its_hits() -> None:
    batch = Batch()
    holder = TokenHolder(b"sub:bot", QUOTA, frozenset(), inf, per_subject=QUOTA)
    one, other = OnBehalf(holder, b"tg-1"), Client(b"192.0.2.1", QUOTA)
    for client, hits in ((one, 3), (other, 2)):
        batch.rows[client] = len(batch.rows)
        batch.quantities.append(hits)
        batch.add_cells(client)
    assert batch.rows == {one: 0, one.also[0]: 1, other: 2}
    assert batch.quantities == [3, 0, 2]
    assert batch.hits() == [3, 3, 2]


def test_without_further_cells_the_hits_are_the_quantities() -> None:
    batch = Batch()
    batch.add_cells(Client(b"192.0.2.1", QUOTA))
    assert not batch.linked
    assert batch.hits() is batch.quantities
