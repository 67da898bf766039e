"""Answers of one tick of a connection: one write each, or joined into one.

``Joined`` knows all of them at once, which a server that waits for a limiter does not; ``Deferred`` keeps them until
the end of the turn, and has to do so for a single answer, too.
"""

from bench.experiments.serving import ONE_BY_ONE, PIPELINED, answering, race_servers

if __name__ == "__main__":
    for workload in (PIPELINED, ONE_BY_ONE):
        ways = ("Written", "Joined", "Deferred") if workload is PIPELINED else ("Written", "Deferred")
        race_servers("answers of a tick", [answering(way) for way in ways], workload)
