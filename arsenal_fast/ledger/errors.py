"""Errors of a ledger database. Each text is one plain sentence without a password: logs and responses show it.

::

    StoreError
    ├── Unavailable      the database can't be used now; the connection is thrown away
    │   └── Busy         another process holds its lock; the connection is good
    ├── Refused          this row can never be written; others can
    └── Unfit            the database is not ours, or of a newer program: nothing to wait for
"""


class StoreError(Exception):
    """Root of the errors of a ledger database."""


class Unavailable(StoreError):
    """Try again later, over a new connection."""


class Busy(Unavailable):
    """Try again soon, over the same connection."""


class Refused(StoreError):
    """The row itself can't be written: it holds, say, a lone surrogate."""


class Unfit(StoreError):
    """The database is no ledger that this program may use."""
