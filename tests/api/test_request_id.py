"""The ids of requests: one for each answer, the same in answer, problem, log and ledger."""

from itertools import count, islice

import pytest

from arsenal_fast.api.request_id import further, id_of, line_of, lines
from arsenal_fast.ratelimit.quota import Quota
from tests.support.ledgers import SwitchedLedger
from tests.support.made_ids import MADE
from tests.support.rig import Rig, request

TARGET = "/api/v1/id?prefix=player&run=1"


def test_lines_have_ids_that_differ_also_after_the_numbers_are_used_up() -> None:
    draws = count(1)
    made = list(islice(lines(lambda octets: next(draws).to_bytes(octets, "big")), 10_000))
    ids = list(map(id_of, made))
    assert len(set(ids)) == 10_000
    assert all(MADE.fullmatch(each) for each in ids)
    assert ids[0] == "0000000000000001000.000"
    assert ids[4096] == "0000000000000002000.000"


def test_further_ids_of_one_differ_from_it_and_from_those_of_the_next() -> None:
    first, second = islice(lines(bytes), 2)
    ids = [first, second]
    for line in (first, second):
        start, ends = further(b"Vary: Origin\r\n" + line)
        ids += [start + end for end in ends]
    assert len(set(map(id_of, ids))) == len(ids) == 2 * 4096
    assert all(MADE.fullmatch(id_of(each)) for each in ids)


@pytest.mark.parametrize("sent", [None, b"", b"a b", b"a\r\nb", b"\xe9", b"x" * 129])
def test_what_may_not_be_echoed_makes_no_line(sent: bytes | None) -> None:
    assert line_of(sent) == b""


def test_an_id_is_read_from_behind_other_lines() -> None:
    assert id_of(b"Access-Control-Allow-Origin: https://a\r\n" + line_of(b"X-Request-Id:")) == "X-Request-Id:"


def test_every_answer_has_an_id_of_its_own_on_either_path() -> None:
    rig = Rig(settings={"quota": Quota(6000, 3600)}, worthwhile=1)
    client = rig.connect()
    recognized = rig.recognized()
    for _ in range(5000):
        client.send(request("GET", TARGET))
    for target in ("/api/v1/nothing", "/api/health/live", "/api/v1/id?ttl=x"):
        client.send(request("GET", target))
    client.send(b"no request\r\n\r\n")
    answers = client.answers(*["GET"] * 5004)
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 5004
    assert all(map(MADE.fullmatch, ids))
    assert len(recognized) > 4990, "the ends of one id were used up"
    for answer in answers:
        assert answer.status == 200 or answer.json["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("sent", [None, "r-1"])
@pytest.mark.parametrize("access_log", ["all", "errors"])
def test_answer_log_ledger_and_problem_have_the_same_id(sent: str | None, access_log: str) -> None:
    ledger = SwitchedLedger()
    rig = Rig(settings={"access_log": access_log, "quota": Quota(8, 3600)}, ledger=ledger, worthwhile=1)
    fields = {} if sent is None else {"X_Request_Id": sent}
    client = rig.connect()
    answers = []
    for run in (1, 2, 3, 3, 3, "", "", "", 3, 3):
        answers.append(client.get(f"/api/v1/id?prefix=player&run={run}", **fields))
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [answer.status for answer in answers] == [200] * 5 + [400] * 3 + [429] * 2
    assert [answer.json["request_id"] for answer in answers[5:]] == ids[5:]
    assert [row.request_id for rows in ledger.recorded for row in rows] == ids[:3]
    assert len(rig.lines) == (10 if access_log == "all" else 5)
    for line, request_id in zip(rig.lines, ids[-len(rig.lines) :], strict=True):
        assert request_id in line
    assert len(set(ids)) == (1 if sent else 10)


def test_connections_that_are_shed_and_octets_that_are_no_request_get_an_id_too() -> None:
    rig = Rig(max_connections=1)
    client, other = rig.connect(), rig.connect()
    client.send(b"\0\r\n\r\n")
    for each, status, kind in ((client, 400, "malformed-request"), (other, 503, "unavailable")):
        (answer,) = each.answers("GET")
        assert (answer.status, answer.json["type"]) == (status, f"/problems/{kind}")
        assert answer.json["request_id"] == answer.headers["x-request-id"]
