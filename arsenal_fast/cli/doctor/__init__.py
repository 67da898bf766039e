"""``arsenal-fast doctor``: checks whether the service would run well here; a line for each check, with its mend.

::

    finding.py        a finding, and the four levels
    configuration.py  the variables, the secrets          no network
    certificate.py    the TLS files                       no network
    store.py          Redis: reachable, version, persistence, eviction, clock
    traffic.py        whether all clients look like one   the limiter's cells in Redis
    ledger.py         SQLite or PostgreSQL: writable, of a schema that we know, how large
    examination.py    all of them in their order
    command.py        the command line: text or JSON, exit status

The rules of this package: it changes nothing (a write is rolled back, or expires in a millisecond); every check is
bounded in time and size, so that it can run beside a busy service; a check that is not possible is reported as such
and is not "ok"; functions that judge are separate from those that read.
"""
