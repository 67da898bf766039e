"""``GET /api/v1/audit``: permissions, filters and pages."""

from typing import Any

import pytest

from arsenal_fast.api.handlers.audit import DEFAULT_LIMIT
from arsenal_fast.ledger.model import MAX_PAGE, AuditPage, AuditQuery
from tests.support.ledgers import SwitchedLedger
from tests.support.rig import START, Answer, Rig, request

PATH = "/api/v1/audit"
NOW = round(START * 1000)
NOTHING = dict.fromkeys(
    (
        *("identity", "prefix", "run", "domain", "version", "generated", "expires", "issued_before", "environment"),
        *("token", "subject", "rate_limit"),
    )
)


def told() -> tuple[Rig, SwitchedLedger]:
    """A worker with a history: three prefixes issued at 0, 1 and 2 s, a batch at 3 s, revocations at 4 and 5 s."""
    ledger = SwitchedLedger()
    rig = Rig(settings={"quota": None}, ledger=ledger)
    for second, prefix in enumerate(("player", "other", "player")):
        rig.get(f"/api/v1/id?prefix={prefix}&run={second}", X_Request_Id=f"r{second}")
        rig.advance(1)
    rig.post("/api/v1/identities", {"environments": [{"name": "dev", "prefix": "bot", "run": "0"}]})
    rig.advance(1)
    revoke = {"Authorization": rig.bearer("revoke", subject="ops")}
    rig.post("/api/v1/revoke", {"identity": "player-0@sports.api.yourbook.com/v1:id"}, **revoke)
    rig.advance(1)
    rig.post("/api/v1/revoke", {"prefix": "other", "issued_before": "2025-11-22T10:00:02Z"}, **revoke)
    rig.advance(1)
    return rig, ledger


def read(rig: Rig, query: str = "", **headers: str) -> Answer:
    return rig.get(PATH + query, Authorization=rig.bearer("audit", subject="auditor"), **headers)


def seconds(answer: Answer) -> list[str]:
    """The seconds at which the events of a page happened; a reading is left out."""
    assert answer.status == 200, answer
    return [event["at"][17:19] for event in answer.json["events"] if event["event"] != "audit_read"]


def test_events_are_told_newest_first_with_all_that_is_known_of_them() -> None:
    rig, _ = told()
    answer = read(rig)
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json
    assert body["cursor"] is None
    assert body["total"] == len(body["events"]) == 6
    assert [event["event"] for event in body["events"]] == ["revoked_prefix", "revoked", *["issued"] * 4]
    prefix, one, batch, *_, first = body["events"]
    assert prefix == {
        **NOTHING,
        "sequence": 6,
        "event": "revoked_prefix",
        "at": "2025-11-22T10:00:05.000Z",
        "prefix": "other",
        "issued_before": "2025-11-22T10:00:02.000Z",
        "caller": "sub:ops",
        "request_id": prefix["request_id"],
    }
    identity = {"prefix": "player", "run": "0", "domain": "sports.api.yourbook.com", "version": "v1"}
    assert one == {
        **NOTHING,
        **identity,
        "sequence": 5,
        "event": "revoked",
        "at": "2025-11-22T10:00:04.000Z",
        "identity": "player-0@sports.api.yourbook.com/v1:id",
        "issued_before": "2025-11-22T10:00:04.001Z",
        "caller": "sub:ops",
        "request_id": one["request_id"],
    }
    assert len({prefix["request_id"], one["request_id"], "r0", None}) == 4
    assert (batch["environment"], batch["caller"]) == ("dev", "203.0.113.9")
    assert first == {
        **NOTHING,
        **identity,
        "sequence": 1,
        "event": "issued",
        "at": "2025-11-22T10:00:00.000Z",
        "identity": "player-0@sports.api.yourbook.com/v1:id",
        "generated": "2025-11-22T10:00:00.000Z",
        "expires": "2025-11-22T11:00:00.000Z",
        "caller": "203.0.113.9",
        "request_id": "r0",
    }


def test_who_reads_is_itself_told() -> None:
    rig, _ = told()
    read(rig, "?prefix=player&run=7", X_Request_Id="r-9")
    latest = read(rig).json["events"][0]
    assert latest == {
        **NOTHING,
        "sequence": 7,
        "event": "audit_read",
        "at": "2025-11-22T10:00:06.000Z",
        "prefix": "player",
        "run": "7",
        "caller": "sub:auditor",
        "request_id": "r-9",
    }


def test_somebody_without_the_scope_learns_nothing_and_leaves_no_trace() -> None:
    rig, ledger = told()
    scopes: list[tuple[str, ...]] = [(), ("issue",), ("revoke",), ("issue", "revoke")]
    assert rig.get(PATH).status == 401
    assert [rig.get(PATH, Authorization=rig.bearer(*each)).status for each in scopes] == [403] * 4
    assert ledger.queries == []


FILTERS = [
    ("", ["05", "04", "03", "02", "01", "00"]),
    ("?prefix=player", ["04", "02", "00"]),
    ("?prefix=other", ["05", "01"]),
    ("?prefix=Player", []),
    ("?run=0", ["04", "03", "00"]),
    ("?prefix=player&run=0", ["04", "00"]),
    ("?prefix=nobody", []),
    ("?since=2025-11-22T10:00:03Z", ["05", "04", "03"]),
    ("?until=2025-11-22T10:00:03Z", ["02", "01", "00"]),
    ("?since=2025-11-22T10:00:02.1234567Z", ["05", "04", "03"]),
    ("?until=2025-11-22t10:00:02.999999999z", ["02", "01", "00"]),
    ("?until=2016-12-31T23:59:60Z", []),
    ("?since=2025-11-22T10:00:01Z&until=2025-11-22T10:00:03.001Z", ["03", "02", "01"]),
    ("?since=2025-11-22T11:00:01%2B01:00&until=2025-11-22T10:00:02Z&prefix=other", ["01"]),
    ("?since=2025-11-22T10:00:03Z&until=2025-11-22T10:00:03Z", []),
    ("?since=1969-01-01T00:00:00Z&until=9999-12-31T23:59:59Z", ["05", "04", "03", "02", "01", "00"]),
    ("?limit=2", ["05", "04"]),
    ("?limit=1&prefix=player", ["04"]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_filters_narrow_what_is_told(query: str, expected: list[str]) -> None:
    rig, _ = told()
    assert seconds(read(rig, query)) == expected


def test_a_misspelt_parameter_reads_nothing() -> None:
    rig, ledger = told()
    answer = read(rig, "?untill=2025-11-22T10:00:01Z")
    assert (answer.status, answer.json["type"]) == (400, "/problems/unknown-parameter")
    assert answer.json["errors"][0]["detail"].startswith("is not known; is until meant?")
    assert ledger.queries == []


def test_the_query_reaches_the_ledger_as_it_was_meant() -> None:
    rig, ledger = told()
    query = "?prefix=a&run=b&since=2025-11-22T10:00:00.001Z&until=2025-11-22T10:00:01Z&limit=7&cursor=123-45"
    first, second = read(rig, query, X_Request_Id="r-1"), read(rig)
    assert first.headers["x-request-id"] == "r-1"
    assert ledger.queries == [
        AuditQuery(NOW + 6000, "sub:auditor", "r-1", "a", "b", NOW + 1, NOW + 1000, 7, (123, 45)),  # type: ignore[arg-type]
        AuditQuery(NOW + 6000, "sub:auditor", second.headers["x-request-id"], limit=DEFAULT_LIMIT),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_pages_follow_each_other_though_events_arrive_and_reading_is_one(limit: int) -> None:
    rig, _ = told()
    pages: list[list[Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        body = read(rig, f"?limit={limit}" + (f"&cursor={cursor}" if cursor else "")).json
        pages.append(body["events"])
        cursor = body["cursor"]
        rig.get(f"/api/v1/id?prefix=late&run={len(pages)}")
    assert [event["at"][17:19] for page in pages for event in page] == ["05", "04", "03", "02", "01", "00"]
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)


# Parameter, what comes, the sentence of the fault.
MOMENT = "must be an RFC 3339 date-time such as 2026-11-22T10:00:00.000Z"
LIMIT = f"limit must be a whole number from 1 to {MAX_PAGE}"
CURSOR = "cursor must be the one that the page before ended with."
FAULTS = [
    *(("since", text, MOMENT) for text in ("", "yesterday", "2025-11-22", "2025-11-22T10:00:00%2B0100", "0")),
    *(("until", text, MOMENT) for text in ("now", "2025-11-22T10:00:00", "2025-02-30T00:00:00Z")),
    # A plus sign is a space in a query.
    ("since", "2025-11-22T10:00:00+01:00", MOMENT),
    *(("limit", text, LIMIT) for text in ("", "0", "-1", "1001", "9999", "01", "1.0", "1e2", "%2B1", "+1", "\u0661")),
    *(("limit", text, LIMIT) for text in ("100000000000", "ten", "1%0A")),
    *(("cursor", text, CURSOR) for text in ("", "1", "1-", "-1", "1-2-3", "a-b", f"{'9' * 19}-1", "1-2%0A", "1 -2")),
]


@pytest.mark.parametrize(("parameter", "text", "sentence"), FAULTS)
def test_a_parameter_that_can_not_be_read_is_a_400_that_names_it(parameter: str, text: str, sentence: str) -> None:
    rig, ledger = told()
    answer = read(rig, f"?{parameter}={text}".replace(" ", "%20").replace("\u0661", "%D9%A1"))
    assert answer.status == 400
    assert answer.json["errors"] == [{"parameter": parameter, "detail": sentence}]
    assert ledger.queries == []


@pytest.mark.parametrize("query", ["?prefix=a-b", "?prefix=", "?run=a%20b", "?run="])
def test_what_can_be_no_prefix_or_run_is_a_400(query: str) -> None:
    answer = read(told()[0], query)
    assert answer.status == 400
    assert [fault["parameter"] for fault in answer.json["errors"]] == [query[1:].split("=", maxsplit=1)[0]]


def test_all_faults_are_named_at_once() -> None:
    answer = read(told()[0], "?prefix=a-b&since=x&until=y&limit=0&cursor=z")
    assert {fault["parameter"] for fault in answer.json["errors"]} == {"prefix", "since", "until", "limit", "cursor"}


@pytest.mark.parametrize("query", ["?limit=1&limit=2", "?run=1&run=1", "?prefix=%zz"])
def test_a_query_of_the_wrong_shape_is_a_400(query: str) -> None:
    assert read(told()[0], query).status == 400


@pytest.mark.parametrize("limit", [1, 100, 999, MAX_PAGE])
def test_a_page_has_up_to_a_thousand_events(limit: int) -> None:
    assert read(told()[0], f"?limit={limit}").status == 200


def test_head_tells_how_much_there_would_be() -> None:
    rig, _ = told()
    head = rig.connect().get(PATH, method="HEAD", Authorization=rig.bearer("audit"))
    assert (head.status, head.body) == (200, b"")


def test_without_a_ledger_there_is_nothing_to_read() -> None:
    rig = Rig()
    answer = read(rig)
    assert (answer.status, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json["detail"] == "This service keeps no ledger (DATABASE_URL is none)."
    assert "retry-after" not in answer.headers
    assert rig.get(PATH).status == 401, "who may not read does not learn it"


def test_a_ledger_that_is_away_can_not_be_read_just_now() -> None:
    rig, ledger = told()
    ledger.away = True
    answer = read(rig)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.json["detail"] == "The ledger can't be read just now; try again."
    ledger.come_back()
    assert read(rig).status == 200


def test_it_is_charged_to_the_token() -> None:
    rig = Rig(ledger=SwitchedLedger())
    headers = {"Authorization": rig.bearer("audit", rate_limit=1)}
    assert [rig.get(PATH, **headers).status for _ in range(2)] == [200, 429]


def test_an_answer_that_comes_late_finds_its_place_and_a_failure_then_is_a_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig, ledger = told()
    ledger.holding = True
    client, headers = rig.connect(), {"Authorization": rig.bearer("audit")}
    client.send(request("GET", f"{PATH}?limit=1", **headers) * 2 + request("GET", "/api/health/live"))
    assert client.octets == b""
    ledger.release()
    ledger.book.page = lambda query: AuditPage([None], None)  # type: ignore[list-item,method-assign]
    ledger.release_all()
    assert [answer.status for answer in client.answers("GET", "GET", "GET")] == [200, 500, 200]
    assert "a handler failed" in caplog.text
