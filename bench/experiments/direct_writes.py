"""Answers written by ``os.write`` on the socket's descriptor instead of ``transport.write``.

What it leaves out is uvloop's queue; what it would have to do in earnest is to know that nothing is queued before it,
to hand what the kernel did not take to the transport, and to leave TLS alone.
"""

from bench.experiments.serving import ONE_BY_ONE, PIPELINED, answering, race_servers

if __name__ == "__main__":
    for workload in (ONE_BY_ONE, PIPELINED):
        race_servers("transport.write and os.write", [answering("Written"), answering("Sent")], workload)
