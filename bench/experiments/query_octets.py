"""How the identity of a repeated request is found: by the octets of its line, or by reading the query.

5,000 identities, asked for in an order that no cache likes; each contender begins with a whole request, whose line is
a fresh object, so that hashing it is in the figure.
"""

from arsenal_fast.http.query import parse_query
from arsenal_fast.identity import grammar
from arsenal_fast.service.handlers.identities import _PARAMETERS
from arsenal_fast.service.recognition import _line
from bench.experiments.racing import build, race
from bench.workloads import IDENTITIES, cached_direct, pair

DOMAIN = "sports.api.yourbook.com"
LINE_BEFORE, LINE_AFTER = len(b"GET /api/v1/id?"), len(b" HTTP/1.1")


def main() -> None:
    requests = cached_direct("")
    cut = requests[0].index(b"\r\n") - len(requests[0])
    by_line = {request[:cut]: object() for request in requests}
    by_id = {f"{prefix}-{run}@{DOMAIN}/v1:id": object() for prefix, run in map(pair, range(IDENTITIES))}

    def line() -> None:
        for data in requests:
            assert by_line.get(data[:cut]) is not None

    def plain() -> None:
        for data in requests:
            match = _line(data[:cut].decode("latin-1"))
            assert match is not None
            assert by_id.get("-".join(match.groups()) + f"@{DOMAIN}/v1:id") is not None

    def composed() -> None:
        for data in requests:
            given = parse_query(data[LINE_BEFORE : cut - LINE_AFTER], _PARAMETERS)
            identity = grammar.compose(given["prefix"], given["run"], DOMAIN, "v1")
            assert by_id.get(identity.id) is not None

    print(build())
    contenders = {
        "the request line's octets": line,
        "one pattern over the line, id put together": plain,
        "query parsed, identity composed": composed,
    }
    race("us per request", contenders, per=len(requests))


if __name__ == "__main__":
    main()
