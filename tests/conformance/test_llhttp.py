"""llhttp's own request vectors: what its strict mode reads we read, what it refuses we refuse, or a row says why not.

The vectors are of nodejs/llhttp, MIT licence, in ``tests/fixtures`` with their origin; ``scripts/llhttp-vectors.py``
writes them. Most have no Host, which llhttp leaves to its users and RFC 9112 3.2 answers with 400. So each runs twice:
as it stands, and with Host, so that the rest of it counts.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.http.test_parser import Outcome, one_by_one, run

FILE: Final = Path(__file__).parents[1] / "fixtures/llhttp_9.4.2.json"


class Vector(NamedTuple):
    """``complete``: messages that llhttp has read to their end; ``error``: why it went no further, if it did not."""

    name: str
    octets: bytes
    complete: int
    error: str | None

    def agrees(self, ours: Outcome) -> bool:
        return (len(ours.requests), ours.status is None) == (self.complete, self.error is None)


def vectors() -> Iterator[Vector]:
    for fields in json.loads(FILE.read_text(encoding="ascii"))["vectors"]:
        yield Vector(**{**fields, "octets": fields["octets"].encode("latin-1")})


VECTORS: Final = list(vectors())


class Difference(NamedTuple):
    """Where we differ on purpose: in what, and how we answer; None for a request that we take."""

    reason: str
    pattern: bytes
    status: int | None


KNOWN: Final = rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|PATCH) "
DIFFERENCES: Final = [
    Difference("RFC 9110 9.1: an unknown method is 501", rb"\A(?!%b)[A-Z-]+ [^ ]+ HTTP/1" % KNOWN, 501),
    Difference("RFC 9112 2.3: of all protocols with such a line only HTTP is spoken", rb"\A[^\n]* (ICE|RTSP)/1", 400),
    Difference("RFC 9112 2.3: a request without a version is HTTP/0.9, and refused", rb"\AGET /\r\n", 400),
    Difference("RFC 9112 3.2: no form of a target has a fragment", rb"\A[^\n]*#", 400),
    Difference("RFC 9110 4.2.4: userinfo in a target is an error", rb"\A[A-Z]+ http://[^/ ]*@", 400),
    Difference("RFC 9110 7.8: Upgrade may be ignored; llhttp stops there for its user", rb"(?i)\nUpgrade:", None),
    Difference("RFC 9112 9.6: octets behind the last request are ignored", rb"HTTP/1.0\r\n\r\n.|: close", None),
    Difference("RFC 9112 2.2: one empty line in front of a request is ignored, and no more", rb"2\r\n\r\nGET", 400),
]

LATE: Final = [
    ("GET / HTTP/5.6", 505),
    ("content-length: Error on `Content-Length` overflow", 413),
    ("content-length: Error on duplicate `Content-Length`", 400),
    ("content-length: Missing CRLF-CRLF before body", 400),
    ("invalid: Invalid space after start line", 400),
]
"""Refused by llhttp with a byte before the line or the head is complete, and by us when it is."""


def with_host(octets: bytes) -> bytes:
    """Put Host into each request of HTTP/1.1, unless there is one."""
    if re.search(rb"(?i)\nhost *:", octets):
        return octets
    return re.sub(rb"(?m)^([A-Z-]+ [^\r\n]* HTTP/1\.1\r\n)", rb"\1Host: a\r\n", octets)


def difference(vector: Vector, ours: Outcome) -> Difference | None:
    rows = (row for row in DIFFERENCES if re.search(row.pattern, vector.octets, re.DOTALL))
    return next((row for row in rows if row.status == ours.status), None)


def late(vector: Vector) -> int | None:
    return next((status for name, status in LATE if name in (vector.name, vector.octets.decode("latin-1"))), None)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_a_vector_is_read_as_llhttp_reads_it_or_a_row_says_why_not(vector: Vector) -> None:
    octets = with_host(vector.octets)
    ours = run([octets])
    assert run(one_by_one(octets)) == ours, "RFC 9112 2.2: a cut changes nothing"
    if vector.agrees(ours):
        return
    if (status := late(vector)) is not None:
        assert ours.status is None
        assert run([octets + b"\r\n\r\n"]).status == status
    else:
        assert difference(vector, ours) is not None, f"ours {ours}, theirs {vector}"


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])
def test_without_host_no_request_of_http_1_1_is_taken(vector: Vector) -> None:
    """RFC 9112 3.2."""
    first = re.match(rb"(?:\r\n)?[^\n]* HTTP/1\.1\r\n", vector.octets)
    if first and with_host(vector.octets) != vector.octets and run([with_host(vector.octets)]).requests:
        assert run([vector.octets]) == ((), 400, True, False)


@pytest.mark.parametrize("row", DIFFERENCES, ids=[row.reason for row in DIFFERENCES])
def test_each_row_is_of_some_vector(row: Difference) -> None:
    found = [(vector, run([with_host(vector.octets)])) for vector in VECTORS]
    assert any(not vector.agrees(ours) and difference(vector, ours) is row for vector, ours in found)


def test_the_file_has_its_origin_and_its_licence() -> None:
    document = json.loads(FILE.read_text(encoding="ascii"))
    assert "nodejs/llhttp v9.4.2" in document["origin"]
    assert document["licence"].startswith("MIT License")
    assert len(VECTORS) > 100
