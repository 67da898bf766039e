"""Answers of one tick of a pipelining connection: one write each, or all joined into one.

uvloop itself gathers what is written within a turn of its loop and hands it to the kernel at once, so the question is
what a call of ``transport.write`` costs above an item of a join.
"""

from bench.experiments.serving import PIPELINED, answering, race_servers

if __name__ == "__main__":
    race_servers("answers of a tick", [answering("Written"), answering("Joined")], PIPELINED)
