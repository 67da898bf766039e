"""Counters of the ledger: plain integers, each written by one thread only, read by a scrape."""

from dataclasses import dataclass, field

from arsenal_fast.observability.metrics import Series


@dataclass(slots=True)
class Counters:
    """``waiting`` is a gauge; the others are totals since the start, which only grow.

    ``rows``: written, in ``commits``. ``dropped``: lost for want of memory. ``refused``: could never be written.
    ``failures``: tries that found the database locked, full or away. ``timeouts``: times that callbacks got None
    because an answer took too long. ``lookups``: identities looked up. ``commit_times``: how long a group took.
    ``trimmed``: events deleted beyond LEDGER_MAX_ROWS before their retention was over.
    """

    waiting: int = 0
    dropped: int = 0
    refused: int = 0
    commits: int = 0
    commit_times: Series = field(default_factory=Series)
    rows: int = 0
    failures: int = 0
    timeouts: int = 0
    trimmed: int = 0
    lookups: int = 0
