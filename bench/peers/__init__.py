"""Other servers with the same duties, to measure beside the service: one ``Server`` row each."""

from bench.servers import Server

PEERS: tuple[Server, ...] = ()
