"""The trace of a request: valid and invalid ones."""

import pytest

from arsenal_fast.http.limits import Limits
from arsenal_fast.http.parser import RequestParser
from arsenal_fast.observability.trace_context import TraceContext, trace_context

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALUE = f"00-{TRACE}-{PARENT}-01".encode()

GOOD = [
    VALUE,
    VALUE.replace(b"-01", b"-00"),
    VALUE.replace(b"-01", b"-ff"),  # flags of a future version
    VALUE.replace(b"00-", b"cc-", 1),
    VALUE.replace(b"00-", b"01-", 1) + b"-what the future will be like",
    VALUE.replace(b"00-", b"fe-", 1) + b"-",
]


@pytest.mark.parametrize("value", GOOD)
def test_the_ids_are_those_of_a_valid_value(value: bytes) -> None:
    assert trace_context(value) == TraceContext(TRACE, PARENT, b"-00" not in value)


BAD = [
    b"",
    VALUE.upper(),
    VALUE[:-1],
    VALUE + b"0",
    VALUE + b"\n",
    VALUE + b"-",  # version 00 ends here
    VALUE + b"-what-the-future-will-be-like",
    VALUE.replace(b"00-", b"ff-", 1),
    VALUE.replace(b"00-", b"0-", 1),
    VALUE.replace(b"00-", b"cc-", 1) + b".what-the-future-will-be-like",
    VALUE.replace(b"00-", b"cc-", 1) + b"0",
    VALUE.replace(TRACE.encode(), b"0" * 32),
    VALUE.replace(PARENT.encode(), b"0" * 16),
    VALUE.replace(b"a", b"g"),
    VALUE.replace(b"-", b"_"),
    VALUE.replace(b"-", b" "),
    VALUE.decode().replace("0", "٠").encode(),
]


@pytest.mark.parametrize("value", BAD)
def test_an_invalid_value_names_no_trace(value: bytes) -> None:
    assert trace_context(value) is None


@pytest.mark.parametrize("zeros", [1, 31])
def test_an_id_may_begin_with_zeros(zeros: int) -> None:
    trace = "0" * zeros + "1" * (32 - zeros)
    assert trace_context(f"00-{trace}-{PARENT}-01".encode()) == TraceContext(trace, PARENT, True)


BLOCKS = [
    (b"Host: h\r\ntraceparent: %b\r\n\r\n", True),
    (b"traceparent:%b\r\nHost: h\r\n\r\n", True),
    (b"TraceParent: \t%b \t\r\n\r\n", True),
    (b"Host: h\r\n\r\n", False),
    (b"traceparent: 1\r\ntraceparent: %b\r\n\r\n", False),
    (b"traceparent: %b\r\ntraceparent: %b\r\n\r\n", False),
    (b"x-traceparent: %b\r\n\r\n", False),
    (b"x: traceparent: %b\r\n\r\n", False),
    (b"traceparent: a%b\r\n\r\n", False),
    (b"tracestate: %b\r\n\r\n", False),
]


@pytest.mark.parametrize(("block", "found"), BLOCKS)
def test_a_request_has_a_trace_if_it_has_one_field_of_the_name(block: bytes, found: bool) -> None:
    parser = RequestParser(Limits())
    host = b"" if b"Host:" in block else b"Host: h\r\n"
    parser.feed(b"GET / HTTP/1.1\r\n" + host + block.replace(b"%b", VALUE))
    request = parser.next_request()
    assert request is not None
    assert (trace_context(request.fields.traceparent) is not None) is found
