"""What a store raises. The texts are one plain sentence each, without a password: they reach logs and people.

::

    StoreError
    ├── Unavailable      the database can't be used now; the connection is thrown away
    │   └── Busy         somebody else holds it for the moment; the connection is good
    ├── Refused          this row can never be written; others can
    └── Unfit            the database is not ours, or of a newer program: nothing to wait for
"""


class StoreError(Exception):
    """Root of them."""


class Unavailable(StoreError):
    """Try again later, over a new connection."""


class Busy(Unavailable):
    """Try again soon, over the same connection."""


class Refused(StoreError):
    """Something within the row itself, such as a lone surrogate."""


class Unfit(StoreError):
    """Not a ledger that this program may touch."""
