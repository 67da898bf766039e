"""The requests of the workloads: h11 can parse every kind, and each matches its name."""

import re
from collections.abc import Iterator
from pathlib import Path

import h11
import orjson
import pytest

from bench.openloop import SERIAL
from bench.scenarios.lookups import LOOKUPS, workload_of
from bench.scripts import write_script
from bench.workloads import CLIENTS, GUIDE_RATES, IDENTITIES, MIX, NEW_SHARE, WORKLOADS, Workload, client, pair

SUFFIX = "@sports.api.yourbook.com/v1:id"
EVERY = pytest.mark.parametrize(
    "workload", [*WORKLOADS, MIX, *map(workload_of, LOOKUPS.values())], ids=lambda workload: workload.name
)


def read(data: bytes) -> tuple[h11.Request, bytes]:
    """One whole request and its body; anything before or after it is a failure."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request, body = connection.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert connection.trailing_data == (b"", False)
    return request, body


def some(workload: Workload, count: int = 50) -> Iterator[tuple[h11.Request, bytes]]:
    for record in workload.records(SUFFIX)[:count]:
        yield read(workload.numbered(record, 123_456_789))


@EVERY
def test_every_record_is_exactly_one_request(workload: Workload) -> None:
    assert all(dict(request.headers)[b"host"] for request, _ in some(workload))


@EVERY
def test_records_hold_no_byte_that_the_script_cuts_at(workload: Workload) -> None:
    records = workload.records(SUFFIX)
    assert not any(b"\0" in record for record in records)
    assert {record.count(SERIAL) for record in records} <= {0, 1, 2}


def test_all_identities_and_all_clients_differ() -> None:
    assert len({pair(index) for index in range(IDENTITIES)}) == IDENTITIES
    assert len({client(index) for index in range(CLIENTS)}) == CLIENTS


def test_a_direct_client_repeats_its_header_block() -> None:
    records = Workload.named("cached-direct").records(SUFFIX)
    assert len({record.partition(b"\r\n")[0] for record in records}) == IDENTITIES
    assert len({record.partition(b"\r\n")[2] for record in records}) == 1


@pytest.mark.parametrize("name", ["cached-proxy", "cached-ingress", "issuing", "validate"])
def test_through_a_proxy_each_request_has_another_client(name: str) -> None:
    found = [re.search(rb"X-Forwarded-For: (\S+)", record) for record in Workload.named(name).records(SUFFIX)]
    assert len({match[1] for match in found if match}) == CLIENTS


def test_an_ingress_sends_twelve_fields_with_two_that_never_repeat() -> None:
    workload = Workload.named("cached-ingress")
    first, second = (dict(read(workload.sample(SUFFIX, serial))[0].headers) for serial in (1, 2))
    assert len(first) == 12
    assert sorted(name for name in first if first[name] != second[name]) == [b"traceparent", b"x-request-id"]
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", first[b"traceparent"])
    assert re.fullmatch(rb"[0-9a-f]{32}", first[b"x-request-id"])


def test_issuing_requests_a_run_that_no_seeded_identity_has() -> None:
    runs = {re.findall(rb"run=(\d+)", Workload.named("issuing").sample("", serial))[0] for serial in range(20)}
    assert len(runs) == 20
    assert not runs & {pair(index)[1].encode() for index in range(IDENTITIES)}


def test_validate_sends_seeded_identities() -> None:
    seeded = {"-".join(pair(index)) + SUFFIX for index in range(IDENTITIES)}
    assert all(orjson.loads(body)["identity"] in seeded for _, body in some(Workload.named("validate")))


@pytest.mark.parametrize("name", ["batch-10", "batch-10-new"])
def test_a_batch_has_ten_different_seeded_rows(name: str) -> None:
    seeded = {pair(index) for index in range(IDENTITIES)}
    for _, body in some(Workload.named(name)):
        rows = {(row["prefix"], row["run"]) for row in orjson.loads(body)["environments"]}
        assert len(rows) == 10
        assert rows <= seeded


def test_the_mix_has_the_guides_proportions_and_its_share_of_new_identities() -> None:
    records = MIX.records(SUFFIX)
    kinds = [sum(target in record for record in records) for target in (b"/id?", b"/identities ", b"/validate ")]
    for count, rate in zip(kinds, GUIDE_RATES, strict=True):
        assert count / len(records) == pytest.approx(rate / sum(GUIDE_RATES), abs=0.01)
    new = sum(SERIAL in record for record in records)
    assert new / (kinds[0] + 10 * kinds[1]) == pytest.approx(NEW_SHARE, abs=0.005)
    assert max(record.count(SERIAL) for record in records) == 1


def test_the_body_of_a_new_batch_never_comes_again() -> None:
    bodies = {read(Workload.named("batch-10-new").sample("", serial))[1] for serial in (0, 1, 10**12)}
    assert len(bodies) == 3
    assert len({len(body) for body in bodies}) == 1


@EVERY
def test_the_script_reads_the_records_and_joins_as_many_numbers_as_they_need(
    workload: Workload, tmp_path: Path
) -> None:
    script = write_script(workload, SUFFIX, tmp_path, 7_000).read_text()
    records = workload.records(SUFFIX)
    assert next(tmp_path.glob("*.records")).read_bytes() == b"".join(r + b"\0" for r in records)
    assert "7000" in script
    assert "8000" in write_script(workload, SUFFIX, tmp_path, 8_000).read_text()
    assert "@" not in script.replace(str(tmp_path), "")
