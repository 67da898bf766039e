"""An answer of two pieces: joined into one write, given to ``writelines``, or written one after the other."""

from bench.experiments.serving import ONE_BY_ONE, answering, race_servers

if __name__ == "__main__":
    servers = [answering("JoinedPieces"), answering("WriteLines"), answering("TwoWrites")]
    race_servers("an answer of two pieces", servers, ONE_BY_ONE)
