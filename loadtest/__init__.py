"""The guide's whole mix from 5,000 users against a service of its own, and a verdict.

The way of a run, forward only: ``plan`` (what is offered, what must be reached) -> ``run`` (start Redis, the service,
the prober, the generators; read both sides; stop) -> ``verdict`` (rows and exit code) -> ``report`` (HTML).

``locustfile`` runs by itself and is imported by nobody here: Locust replaces the standard library's sockets. What a
saturated generator measures is its own queue. So latency is taken from the service's histogram (``exposition``) and
from ``prober``, a small process beside the load, and the CPU time of both sides is part of the verdict. ``filler``
offers through wrk what Locust is not asked to.
"""
