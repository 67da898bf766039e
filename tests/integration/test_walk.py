"""docs/architecture.md lists the files that a request passes: a profiler hook follows real requests and compares.

One worker in this process, with a real Redis and a real SQLite ledger, whose thread is followed too. What the sweep and
other timers run between two requests is detected by following several: only what all of them ran counts.
"""

import asyncio
import re
import sys
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager
from functools import reduce
from itertools import pairwise
from operator import and_
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

import pytest

import arsenal_fast
from tests.integration.test_no_cycles import serving
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.rig import request

ROOT: Final = Path(arsenal_fast.__file__).parent
PAGE: Final = ROOT.parent / "docs" / "architecture.md"

CACHED: Final = "**A cached `GET /api/v1/id`:**"
ISSUED: Final = "**An issued identity, with a ledger:**"
HELPERS: Final = "Left out are helpers"
MAX_FILES: Final = {CACHED: 12, ISSUED: 22}
"""Files that a reader who follows a request must read; more of them are hard to keep in mind."""

ROUNDS: Final = 5
"""Requests of a kind that are followed. A timer that runs in one of them does not in all."""

WARMING: Final = 40
"""Requests until the connection has its template and each repeated run is cached."""

_PATH: Final = re.compile(r"`([a-z_/]+\.py)`")
_FUNCTION: Final = re.compile(r"`([a-z_]\w*)`")

Call = tuple[str, str]
"""A file below the package, and the name of a function in it."""


class Step(NamedTuple):
    """One or more of ``paths`` are alternatives (the two databases); ``functions`` run in the one that is passed."""

    paths: tuple[str, ...]
    functions: tuple[str, ...]


class Walk(NamedTuple):
    """What the page says of one kind of request."""

    steps: list[Step]
    helpers: frozenset[str]


def paragraph(page: str, start: str) -> str:
    """The text from ``start`` to the next empty line."""
    assert page.count(start) == 1, start
    return page[page.index(start) :].partition("\n\n")[0]


def steps(page: str, start: str) -> dict[int, list[Step]]:
    """The numbered list behind ``start``, by number; a line may name several files."""
    assert page.count(start) == 1, start
    found: dict[int, list[Step]] = {}
    text = re.split(r"\n\n(?!\d+\. )", page[page.index(start) :])[0]
    for number, line in re.findall(r"^(\d+)\. (.*(?:\n   .*)*)", text, re.MULTILINE):
        found[int(number)] = [
            Step(tuple(_PATH.findall(paths)), tuple(_FUNCTION.findall(rest)))
            for paths, rest in re.findall(r"(`[a-z_/]+\.py`(?: or `[a-z_/]+\.py`)*)((?:(?!`[a-z_/]+\.py`)[^;])*)", line)
        ]
        assert found[int(number)], f"a step without a file: {line}"
    assert list(found) == list(range(min(found), max(found) + 1)), f"numbers are left out: {list(found)}"
    return found


def walk(page: str, start: str) -> Walk:
    """What the page says of the kind of request that ``start`` heads."""
    of_cached, of_issued = paragraph(page, HELPERS).split("issued identity")
    helpers = frozenset(_PATH.findall(of_cached))
    numbered = steps(page, CACHED)
    if start == ISSUED:
        rest = steps(page, ISSUED)
        numbered = {number: each for number, each in numbered.items() if number < min(rest)} | rest
        helpers |= frozenset(_PATH.findall(of_issued))
    return Walk([step for number in sorted(numbered) for step in numbered[number]], helpers)


def files(of: Walk) -> set[tuple[str, ...]]:
    """The files of the steps; alternatives count once."""
    return {step.paths for step in of.steps}


def faults(of: Walk, calls: list[Call], ran: set[str], touched: Set[str] = frozenset()) -> list[str]:
    """Where the page and a request differ.

    ``calls``: all that it called, in order. ``ran``: the files that every request of its kind ran; ``touched``: those
    that any of them did. (What is kept for a millisecond is made by the first request in it.)
    """
    first: dict[Call, int] = {}
    for position, call in enumerate(calls):
        first.setdefault(call, position)
    found = [
        f"{' or '.join(step.paths)}: {name} is not called"
        for step in of.steps
        for name in step.functions
        if not any((path, name) in first for path in step.paths)
    ]
    named = {path for step in of.steps for path in step.paths}
    found += [f"{path}: is not passed" for paths in files(of) if not ran.intersection(paths) for path in paths]
    found += [f"{path}: is no helper of it" for path in sorted(of.helpers - named - ran - touched)]
    found += [f"{path}: is passed and not named" for path in sorted(ran - named - of.helpers)]
    if not found:
        begun = [(step, min(first[path, step.functions[0]] for path in step.paths if path in ran)) for step in of.steps]
        found = [f"{one.paths[0]} comes behind {other.paths[0]}" for (one, a), (other, b) in pairwise(begun) if a > b]
    return found


class Recorder:
    """Keeps each call of a function of ours, in any thread that it is the profiler of."""

    def __init__(self) -> None:
        self.calls: list[Call] | None = None
        """None: nothing is kept."""
        self._prefix = f"{ROOT}/"

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        calls = self.calls
        if calls is not None and event == "call":
            code = frame.f_code
            if code.co_filename.startswith(self._prefix):
                calls.append((code.co_filename.removeprefix(self._prefix), code.co_name))


@contextmanager
def recorder() -> Iterator[Recorder]:
    """The profiler of this thread and of those that it starts."""
    found, before, before_of_threads = Recorder(), sys.getprofile(), threading.getprofile()
    threading.setprofile(found)
    sys.setprofile(found)
    try:
        yield found
    finally:
        sys.setprofile(before)
        threading.setprofile(before_of_threads)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
    # With an id of its own, as from an ingress: a template with a slot.
    writer.write(request("GET", f"/api/v1/id?prefix=player&run={number}", X_Request_ID=f"walk-{number}"))
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = re.search(rb"\r\nContent-Length: (\d+)\r\n", head)
    assert length is not None, head
    await reader.readexactly(int(length[1]))


Followed = dict[str, list[list[Call]]]


@pytest.fixture(scope="module")
def followed(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """The calls of each request, by the heading of its kind."""
    redis_server.flush()

    async def scenario() -> Followed:
        found: Followed = {CACHED: [], ISSUED: []}
        url = f"sqlite:///{tmp_path_factory.mktemp('walk')}/identity.db"
        with recorder() as recording:
            async with serving(redis_server.url, url, None) as (_, port):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                for number in range(WARMING):
                    await ask(reader, writer, number % ROUNDS)
                for kind, start in ((CACHED, 0), (ISSUED, 1000)):
                    for number in range(start, start + ROUNDS):
                        calls: list[Call] = []
                        recording.calls = calls
                        await ask(reader, writer, number)
                        recording.calls = None
                        found[kind].append(calls)
                writer.close()
                await writer.wait_closed()
        return found

    return run(scenario())


def ran(rounds: list[list[Call]]) -> set[str]:
    """The files that each of the requests ran."""
    return reduce(and_, ({path for path, _ in calls} for calls in rounds))


def touched(rounds: list[list[Call]]) -> set[str]:
    """The files that any of the requests ran."""
    return {path for calls in rounds for path, _ in calls}


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [CACHED, ISSUED], ids=["cached", "issued"])
def test_no_more_files_are_to_be_read_than_can_be_kept_in_mind(kind: str) -> None:
    assert len(files(walk(page(), kind))) <= MAX_FILES[kind]


@pytest.mark.integration
@pytest.mark.parametrize("kind", [CACHED, ISSUED], ids=["cached", "issued"])
def test_a_request_passes_the_files_of_the_page_in_their_order_and_no_other(kind: str, followed: Followed) -> None:
    of = walk(page(), kind)
    for calls in followed[kind]:
        assert faults(of, calls, ran(followed[kind]), touched(followed[kind])) == []


A_PAGE: Final = f"""
{HELPERS}: in a cached one `cache.py`, of an issued identity `stores/redis/resp.py` too.

{CACHED}

1. `server/connection.py`: `data_received`
2. `http/template.py`: `match`; one comparison or
   one pattern
3. `server/connection.py`: `respond_only`

{ISSUED} 1 and 2 as above; then

3. `ledger/sqlite.py` or `ledger/postgres.py`: `write`, one transaction
4. `registry/cache.py`: `put`, with `tokens/claims.py`: `token` (one `EVALSHA`)

**Any other request** is parsed.
"""
RECEIVED: Final = ("server/connection.py", "data_received")
MATCHED: Final = ("http/template.py", "match")
RESPONDED: Final = ("server/connection.py", "respond_only")
HELPED: Final = ("cache.py", "get")
WROTE: Final = ("ledger/postgres.py", "write")


def test_a_page_is_read_by_its_lists() -> None:
    assert walk(A_PAGE, CACHED) == Walk(
        [
            Step(("server/connection.py",), ("data_received",)),
            Step(("http/template.py",), ("match",)),
            Step(("server/connection.py",), ("respond_only",)),
        ],
        frozenset({"cache.py"}),
    )
    issued = walk(A_PAGE, ISSUED)
    assert issued.steps[2:] == [
        Step(("ledger/sqlite.py", "ledger/postgres.py"), ("write",)),
        Step(("registry/cache.py",), ("put",)),
        Step(("tokens/claims.py",), ("token",)),
    ]
    assert issued.helpers == {"cache.py", "stores/redis/resp.py"}
    assert len(files(issued)) == 5


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        ([RECEIVED, MATCHED, HELPED, RESPONDED], []),
        ([RECEIVED, HELPED, RESPONDED], ["http/template.py: match is not called", "http/template.py: is not passed"]),
        (
            [RECEIVED, ("http/template.py", "request"), HELPED, RESPONDED],
            ["http/template.py: match is not called"],
        ),
        ([RECEIVED, MATCHED, RESPONDED], ["cache.py: is no helper of it"]),
        ([RECEIVED, MATCHED, HELPED, WROTE, RESPONDED], ["ledger/postgres.py: is passed and not named"]),
        ([MATCHED, RECEIVED, HELPED, RESPONDED], ["server/connection.py comes behind http/template.py"]),
    ],
    ids=["none", "file", "function", "helper", "unnamed", "order"],
)
def test_what_the_page_and_a_request_differ_in_is_found(calls: list[Call], fault: list[str]) -> None:
    assert faults(walk(A_PAGE, CACHED), calls, ran([calls])) == fault


def test_what_only_some_requests_run_is_a_timers() -> None:
    assert ran([[RECEIVED, MATCHED], [RECEIVED, HELPED]]) == {"server/connection.py"}
