"""Pruning by a command: old rows are deleted, and the ledger stays consistent."""

from contextlib import closing

from arsenal_fast.ledger.prune import prune
from arsenal_fast.ledger.verify import verify
from tests.support.ledger import T0, opened, put, revoked, revoked_prefix, row
from tests.support.ledger_copies import DAY


def test_pruning_deletes_what_was_over_and_leaves_the_ledger_sound(url: str) -> None:
    with closing(opened(url)) as store:
        put(store, *(row(number, T0 - 3 * DAY) for number in range(20)), row("new"))
        put(store, row("long", T0 - 3 * DAY, 9 * DAY))
        store.write([revoked(1, T0 - 3 * DAY, at=T0 - 3 * DAY), revoked_prefix("player", T0, at=T0)])
    told: list[int] = []
    deleted = prune(url, T0 - DAY, lambda done, _: told.append(done))
    lives = 0 if url.startswith("sqlite") else 19  # SQLite has no rows of them beside their events
    assert deleted == told[-1] == 22 + lives
    report = verify(url)
    assert (report.events, report.lives, report.faults) == (2, 3, [])
    assert prune(url, T0 - DAY) == 0
