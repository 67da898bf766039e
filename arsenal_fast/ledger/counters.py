"""Counters of the ledger: plain integers, each written by one thread only, read by a scrape."""

from arsenal_fast.observability.metrics import Series


class Counters:
    """``waiting`` is a gauge; the others are totals since the start, which only grow.

    ``rows``: written, in ``commits``. ``dropped``: lost for want of memory. ``refused``: could never be written.
    ``failures``: tries that found the database locked, full or away. ``timeouts``: times that callbacks got None
    because an answer took too long. ``lookups``: identities looked up. ``commit_times``: how long a group took.
    ``trimmed``: events deleted beyond LEDGER_MAX_ROWS before their retention was over.
    """

    __slots__ = (
        *("commit_times", "commits", "dropped", "failures", "lookups", "refused", "rows", "timeouts", "trimmed"),
        "waiting",
    )

    def __init__(self) -> None:
        self.waiting = 0
        self.dropped = 0
        self.refused = 0
        self.commits = 0
        self.commit_times = Series()
        self.rows = 0
        self.failures = 0
        self.timeouts = 0
        self.trimmed = 0
        self.lookups = 0
