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

The rules of this part: it changes nothing (a write is tried and taken back, or gone in a millisecond); every look is
bounded in time and size, so that it can be taken at a busy service; a check that can't be made says so and is not
"ok"; what judges is a function of what was seen, apart from the looking.
"""
