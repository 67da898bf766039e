"""Load test: the guide's mix of requests from 5,000 users, against a service of its own, with a verdict.

A run goes forward only: ``plan`` (what is offered, what must be reached) -> ``run`` (start Redis, the service, the
users and the prober; read both sides; stop) -> ``verdict`` (rows and exit code) -> ``report`` (HTML).

``locustfile`` runs by itself and nothing here imports it: Locust replaces the standard library's sockets. A saturated
generator measures its own queue. So latency is taken from the service's histogram (``exposition``) and from the
benchmark's open-loop generator at a low rate (the prober), and the CPU time of both sides is part of the verdict.
"""
