"""The ledger: every issue, renewal and revocation, on a disk, for audit and for when Redis has lost its memory.

The way in: ``backend.Ledger`` belongs to the event loop and never blocks it. ``bridge`` hands its work to two threads
(``threads.StoreThread``): one writes whole groups in one commit each, one reads. Each has its own ``store.Store``
(``sqlite`` or ``postgres``), which is plain blocking code and knows of no threads. ``prune``,
``backup``, ``export`` and ``verify`` are for the command line and use the stores directly.
"""
