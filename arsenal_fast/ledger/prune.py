"""The ledger commands of the command line: blocking calls without threads, also while the service runs.

Each takes the DATABASE_URL. Raises ValueError with one sentence for a bad one (``none`` included), LedgerError with one
sentence for everything else that goes wrong.
"""

import time

from arsenal_fast.ledger.admin import BUSY_PATIENCE, LedgerError, Progress, address_of, as_ledger_error, open_store
from arsenal_fast.ledger.backup import backup, restore
from arsenal_fast.ledger.errors import Busy
from arsenal_fast.ledger.export import export
from arsenal_fast.ledger.served import is_served
from arsenal_fast.ledger.verify import Report, verify

__all__ = ["LedgerError", "Progress", "Report", "backup", "export", "is_served", "prune", "restore", "verify"]


def prune(url: str, before: int, progress: Progress | None = None) -> int:
    """Delete events and lives from before that moment (ms, not in the future) in steps; returns the number of rows."""
    where = address_of(url)
    deleted = 0
    with as_ledger_error(where), open_store(where) as store:
        steps = store.pruning(before)
        deadline = time.monotonic() + BUSY_PATIENCE
        while True:
            try:
                step = next(steps, None)
            except Busy:
                if time.monotonic() > deadline:
                    raise
                steps = store.pruning(before)
                continue
            if step is None:
                return deleted
            deleted += step
            if progress is not None:
                progress(deleted, deleted)
