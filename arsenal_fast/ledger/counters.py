"""What has happened on the way to the ledger: plain integers, each added to by one thread alone, read by a scrape."""

from arsenal_fast.observability.metrics import Series


class Counters:
    """``waiting`` is what it is now; the others are totals since the start, none of which ever goes back.

    ``rows``: written, in ``commits``. ``dropped``: lost for want of memory. ``refused``: could never be written.
    ``failures``: tries that found the database locked, full or away. ``timeouts``: times that somebody was told
    None because an answer took too long. ``lookups``: identities looked up. ``commit_times``: how long a group took.
    ``trimmed``: events deleted for want of room, younger than the retention wants them.
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
