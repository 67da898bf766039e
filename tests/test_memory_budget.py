"""The memory budget: how it is divided, its messages if it is too small, and that our containers fit."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arsenal_fast import memory_budget
from arsenal_fast.api.fastpath.endpoints import Endpoint
from arsenal_fast.api.fastpath.render import CachedVerdict, RenderedIdentity
from arsenal_fast.config import load as configuration
from arsenal_fast.config.load import load
from arsenal_fast.identity.grammar import MAX_ID
from arsenal_fast.identity.validity import Life
from arsenal_fast.memory_budget import (
    BASE,
    CELL,
    CLIENT,
    CONNECTION,
    FORWARDED,
    IDENTITY,
    LEDGER_ENTRY,
    MIB,
    PARSING,
    ROW,
    SUPERVISOR,
    TLS_CONNECTION,
    Shares,
    faults,
    shares,
)
from tests.support.hostile_keys import identity
from tests.support.rig import KEYS, Rig

ENTRIES = {
    "clients": 2 * CLIENT,
    "forwarded": 2 * FORWARDED,
    "cells": CELL,
    "identities": IDENTITY,
    "ledger_rows": 1,
    "rows_in_flight": ROW,
    "records": 2,
    "lines": 2,
    "verdicts": 2,
    "batches": 2,
    "unfinished": 1,
    "unsent": 1,
}


def taken(share: Shares, *, tls: bool = False) -> int:
    """Bytes of everything that is full."""
    figures = {**ENTRIES, "connections": TLS_CONNECTION if tls else CONNECTION}
    return sum(figures[name] * entries for name, entries in asdict(share).items())


@given(st.integers(0, 4096), st.integers(1, 64), st.booleans(), st.booleans(), st.none() | st.integers(1, 50_000))
def test_everything_full_keeps_to_the_budget(
    mebibytes: int, workers: int, tls: bool, ledger: bool, connections: int | None
) -> None:
    budget = mebibytes * MIB
    share = shares(budget, workers, tls=tls, ledger=ledger, connections=connections)
    assert min(asdict(share).values()) >= 1
    whole = workers * (BASE + PARSING + taken(share, tls=tls)) + (SUPERVISOR if workers > 1 else 0)
    spare = workers * 20_000  # a table has room for one entry at least
    if not list(faults(budget, None, workers, tls=tls, connections=connections)):
        assert whole <= budget + spare
        assert whole > 0.97 * budget or mebibytes > 350 * workers, "nothing is left unused but for want of use"
    if connections is not None:
        assert share.connections == connections


def test_a_large_budget_makes_no_table_of_millions() -> None:
    share = shares(64 << 30)
    assert (share.connections, share.cells, share.ledger_rows) == (10_000, 65_536, 64 * MIB)
    assert share.records > 1 << 30


def test_without_a_ledger_its_rows_are_others() -> None:
    with_ledger, without = shares(205 * MIB), shares(205 * MIB, ledger=False)
    assert (without.ledger_rows, with_ledger.ledger_rows > 1000) == (1, True)
    assert without.records > with_ledger.records


def test_tls_connections_are_fewer() -> None:
    assert shares(205 * MIB, tls=True).connections * 4 < shares(205 * MIB).connections


FAULTS = [
    ((200, 256, 1, None), []),
    ((200, None, 1, None), []),
    ((300, 256, 1, None), ["MEMORY_BUDGET is 300M, but the container may use 256M."]),
    ((100, None, 1, None), ["MEMORY_BUDGET is 100M, but a worker needs 118M."]),
    ((300, None, 4, None), ["MEMORY_BUDGET is 300M, but 4 workers need 496M."]),
    ((200, None, 1, 10_000), []),
    (
        (200, None, 1, 30_000),
        [
            "MAX_CONNECTIONS is 30000, which take 103M in each worker: more than MEMORY_BUDGET of 200M has left.",
        ],
    ),
]


@pytest.mark.parametrize(("given_values", "sentences"), FAULTS)
def test_a_budget_that_can_not_be_kept_is_reported(
    given_values: tuple[int, int | None, int, int | None], sentences: list[str]
) -> None:
    budget, limit, workers, connections = given_values
    bound = None if limit is None else limit * MIB
    assert list(faults(budget * MIB, bound, workers, connections=connections)) == sentences


ISSUE: Final = Endpoint("GET", "/api/v1/id", "issue")


def rendered(name: str) -> RenderedIdentity:
    """An identity with everything that is ever rendered of it."""
    record = RenderedIdentity(KEYS.sign_identity, ISSUE, name, None)
    record.life = Life(1_763_805_600_000, 1_763_809_200_000)
    for _ in range(2):  # what is rendered is kept from the second time on
        record.response()
        record.row()
    return record


@pytest.mark.parametrize("name", [identity(7), "player-00000007@sports.api.yourbook.com/v1:id"])
def test_a_record_weighs_at_least_what_it_holds(name: str) -> None:
    record = rendered(name)
    held = len(record.response()) + len(record.row()) + CachedVerdict(record, ISSUE).size_bytes + 2 * len(name)
    weight = memory_budget.weigh_record(name, record)
    assert held < weight < 3 * held


def test_a_record_that_is_forgotten_holds_nothing_rendered() -> None:
    """Request lines, verdicts and batches still refer to it, and there are many more of them."""
    record = rendered("player-7@sports.api.yourbook.com/v1:id")
    assert record.kept_response
    assert record.kept_row
    record.forget()
    assert not record.kept_response
    assert not record.kept_row


def test_long_identities_are_cached_within_their_bytes() -> None:
    room = 40 * memory_budget.weigh_record("x" * MAX_ID, None)
    rig = Rig(settings={"quota": None, "shares": replace(memory_budget.DEFAULT, records=room)})
    client = rig.connect()
    for number in range(200):
        path, _, version = identity(number).partition("/")
        local, _, domain = path.partition("@")
        prefix, _, run = local.partition("-")
        target = f"/api/v1/id?prefix={prefix}&run={run}&domain={domain}&version={version.removesuffix(':id')}"
        client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.answers("GET")[0].status == 200
    records = rig.service.identities
    assert 40 <= len(records) <= 84


def test_the_containers_limit_makes_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "memory_limit", lambda: 256 * MIB)
    config = load({})
    assert config.memory_budget == 256 * MIB * 4 // 5
    assert config.max_connections == config.shares.connections > 3000
    assert config.warnings == ()


def test_a_budget_above_the_containers_limit_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "memory_limit", lambda: 256 * MIB)
    config = load({"MEMORY_BUDGET": "1G", "MAX_CONNECTIONS": "700"})
    assert config.warnings == ("MEMORY_BUDGET is 1024M, but the container may use 256M.",)
    assert config.max_connections == config.shares.connections == 700


@pytest.mark.parametrize(("machine", "budget"), [(2048, 512), (24_576, 6_144), (1 << 20, 3 * 2048)])
def test_without_a_limit_the_budget_is_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, machine: int, budget: int
) -> None:
    monkeypatch.setattr(configuration, "memory_limit", lambda: None)
    monkeypatch.setattr(configuration, "machine_memory", lambda: machine * MIB)
    config = load({"WORKERS": "3", "REDIS_URL": "redis://r", "JWT_SECRET": "s"})
    assert config.memory_budget == budget * MIB
    assert config.warnings == ("JWT_SECRET would be refused in production: it is an example or has under 32 bytes.",)


GUIDE: Final = 256 * MIB
"""The guide's limit of a container; its baseline is 128 MB."""


def test_the_guides_container_has_room_for_thousands() -> None:
    budget = memory_budget.of_container(GUIDE)
    share = shares(budget)
    assert list(faults(budget, GUIDE, 1)) == []
    assert share.connections > 3_000
    assert 2 * share.records > 8_192 * memory_budget.weigh_record("player-00000007@sports.api.yourbook.com/v1:id", None)


def test_the_compose_file_leaves_the_budget_to_the_container() -> None:
    text = (Path(__file__).parent.parent / "docker-compose.yml").read_text(encoding="utf-8")
    service = text.partition("  identity-service:\n")[2].partition("\n  redis:\n")[0]
    limit = int(service.partition("memory: ")[2].partition("M")[0]) * MIB
    assert list(faults(memory_budget.of_container(limit), limit, 1)) == []
    assert "MEMORY_BUDGET" not in service


def test_the_page_has_every_share_with_its_bytes() -> None:
    page = (Path(__file__).parent.parent / "docs/operations.md").read_text(encoding="utf-8")
    table = page.partition("| Share |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[0].strip("`") for row in rows] == [field.name for field in fields(Shares)]
    octets = {row[0].strip("`"): row[2] for row in rows}
    for name, told in {
        "records": f"{memory_budget.RECORD:,} and {memory_budget.RECORD_BYTE} for",
        "lines": f"{memory_budget.REFERENCE}, the line",
        "clients": f"2 x {CLIENT}",
        "forwarded": f"2 x {FORWARDED}",
        "cells": f"{CELL}",
        "identities": f"{IDENTITY}",
        "ledger_rows": f"{LEDGER_ENTRY}, and the row",
        "connections": f"{CONNECTION:,} ({TLS_CONNECTION:,} with TLS)",
        "rows_in_flight": f"{ROW:,}",
    }.items():
        assert told in octets[name]
    base, parsing = f"({BASE // MIB} MiB)", f"({PARSING // MIB} MiB)"
    assert base in page
    assert parsing in page
