"""Checks before a measurement that every server gives the responses and limits that it must give.

To each workload's request it must give the service's own response, except for times and tokens, with the rate-limit
headers; give the same tokens for the same request; and leave a counter in Redis for a new client.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import redis

from bench import BenchError
from bench.load import exchange
from bench.servers import Server

VOLATILE = frozenset({"generated", "expires", "validated", "token"})  # members that differ from server to server
RATE_LIMIT_HEADERS = frozenset({"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"})
SIZE_TOLERANCE = 0.1  # of the service's body: writing more or fewer bytes would be another job
NEWCOMER = b"203.0.113.%d"  # TEST-NET-3 (RFC 5737): in no workload
FORWARDED = re.compile(rb"(?<=X-Forwarded-For: )[0-9.]+")


class Candidate(NamedTuple):
    """A running server and its database."""

    server: Server
    port: int
    store: redis.Redis


class Answer(NamedTuple):
    """``headers``: the names, in lower case."""

    headers: frozenset[str]
    size: int
    document: Any


def read(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n")[1:]]
    return Answer(frozenset(names), len(body), json.loads(body))


def without(document: Any, names: Collection[str]) -> Any:
    """The document less the members of these names, at every depth."""
    if isinstance(document, dict):
        return {name: without(value, names) for name, value in document.items() if name not in names}
    return [without(value, names) for value in document] if isinstance(document, list) else document


def tokens(document: Any) -> list[str]:
    """Every member ``token``, at every depth."""
    if isinstance(document, dict):
        return [document["token"]] if "token" in document else tokens(list(document.values()))
    return [token for value in document for token in tokens(value)] if isinstance(document, list) else []


def objections(answer: Answer, again: Answer, expected: Answer) -> list[str]:
    """What is wrong with a server's answers, where ``expected`` is the service's."""
    found = []
    if without(answer.document, VOLATILE) != without(expected.document, VOLATILE):
        found.append(f"answered {answer.document} where the service answers {expected.document}")
    if abs(answer.size - expected.size) > SIZE_TOLERANCE * expected.size:
        found.append(f"answered {answer.size} bytes where the service answers {expected.size}")
    if missing := RATE_LIMIT_HEADERS - answer.headers:
        found.append(f"sent no {', '.join(sorted(missing))}")
    if tokens(answer.document) != tokens(again.document):
        found.append("gave another token to the same question")
    return found


def check(candidates: Sequence[Candidate], request: bytes, number: int) -> None:
    """Check each server, the service first, as client ``number`` (0 to 255). Raises BenchError if one fails."""
    request = FORWARDED.sub(NEWCOMER % number, request)
    expected: Answer | None = None
    cells_of_service = candidates[0].server.cell_keys
    for server, port, store in candidates:
        before = cells(store, server)
        answer, again = (read(exchange(port, request)) for _ in range(2))
        counted = cells(store, server) - before
        expected = expected or answer
        found = objections(answer, again, expected)
        # The service's cells can't be seen: at this limit one is whole again, and gone, in less than a millisecond.
        if len(counted) != 1 and server.cell_keys != cells_of_service and FORWARDED.search(request):
            found.append(f"left {len(counted)} counters of a new client in Redis")
        if found:
            raise BenchError(f"{server.name} can't be compared: it {'; it '.join(found)}.")


def cells(store: redis.Redis, server: Server) -> set[bytes]:
    return set(store.scan_iter(match=server.cell_keys, count=1000))
