"""The client that a request is charged to: an address, or the subject of a service token."""

import pytest

from arsenal_fast.api import auth
from arsenal_fast.api.admission import Admission
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.tokens.claims import ServiceToken
from tests.support.callers import EXPIRED, FOREIGN, GOOD, ID, LIMITS, good, remaining
from tests.support.rig import START, Rig


def test_no_two_subjects_share_a_limit_also_where_they_are_no_text() -> None:
    subjects = ["a", "A", "", "\u00e9", "e\u0301", "\ud800", "\udfff", "?"]
    keys = {auth.holder(ServiceToken(subject, frozenset(), 1, 1)) for subject in subjects}
    assert len(keys) == len(subjects)


def test_a_bad_token_is_charged_to_the_address_that_sent_it_and_limited() -> None:
    rig = Rig(settings={"quota": Quota(3, 60)}, switched=True)
    client = rig.connect()
    answers = [client.get(ID, Authorization=each) for each in (FOREIGN, "Bearer x", FOREIGN, EXPIRED, GOOD)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429, 200]
    assert [remaining(answer) for answer in answers[:3]] == [2, 1, 0]
    assert {answer.headers["ratelimit-policy"] for answer in answers[:4]} == {'"default";q=3;w=60'}
    assert rig.shared.admissions == [[("203.0.113.9", 1)]] * 4 + [[("sub:sports-book", 1)]]
    assert [(client, status) for _, client, status in rig.access[:4]] == [("203.0.113.9", 401)] * 3 + [
        ("203.0.113.9", 429)
    ]


def test_a_good_token_has_a_limit_of_its_own_whatever_the_address_has_used() -> None:
    rig = Rig(settings={"quota": Quota(2, 60)})
    mine = good(rate_limit=3)
    assert [rig.get(ID).status for _ in range(3)] == [200, 200, 429]
    answers = [rig.get(ID, Authorization=mine) for _ in range(4)]
    assert [(answer.status, remaining(answer)) for answer in answers] == [(200, 2), (200, 1), (200, 0), (429, 0)]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"token";q=3;w=60'}
    assert answers[0].headers["ratelimit"] == '"token";r=2;t=20'
    assert answers[3].json["violated-policies"] == ["token"]
    assert answers[3].json["detail"] == "This client has used its 3 requests per 60 s; try again in 20 s."


def test_a_subject_has_one_limit_from_wherever_it_comes_and_with_whichever_token() -> None:
    rig = Rig()
    tokens = [good(rate_limit=10), good("issue", rate_limit=10), good(rate_limit=10, begun=START - 5)]
    seen = [
        remaining(rig.connect((f"198.51.100.{host}", 1)).get(ID, Authorization=tokens[host % 3])) for host in range(6)
    ]
    assert seen == [9, 8, 7, 6, 5, 4]
    assert remaining(rig.get(ID, Authorization=good(subject="bot", rate_limit=10))) == 9


@pytest.mark.parametrize("first", [0, 1])
def test_a_token_with_the_quota_of_the_addresses_is_still_told_apart(first: int) -> None:
    rig = Rig(settings={"quota": Quota(100, 3600)})
    asked: list[dict[str, str]] = [{}, {"Authorization": good(rate_limit=100)}]
    policies = ['"default";q=100;w=3600', '"token";q=100;w=3600']
    for turn in (first, 1 - first, first):
        assert rig.get(ID, **asked[turn]).headers["ratelimit-policy"] == policies[turn]
        assert rig.get(LIMITS, **asked[turn]).headers["ratelimit-policy"] == policies[turn]


def test_no_token_has_more_than_the_limiters_grain_can_tell_apart() -> None:
    rig = Rig(settings={"quota": Quota(1, 1)})
    answer = rig.get(ID, Authorization=good(rate_limit=1_000_000_000))
    assert answer.headers["ratelimit-policy"] == '"token";q=1000000;w=1'


def test_many_different_quotas_are_served_in_bounded_memory() -> None:
    rig = Rig()
    for limit in range(1, 600):
        answer = rig.get(ID, Authorization=good(subject=f"bot{limit}", rate_limit=limit))
        assert answer.headers["ratelimit-policy"] == f'"token";q={limit};w=3600'
    admission = rig.service.admission
    assert isinstance(admission, Admission)
    assert len(admission._lines) <= 256
    assert rig.get(ID).headers["ratelimit-policy"] == '"default";q=100;w=3600'


def test_limits_tells_the_limit_of_the_token() -> None:
    rig = Rig()
    rig.get(ID, Authorization=good(rate_limit=7))
    body = rig.get(LIMITS, Authorization=good(rate_limit=7)).json
    assert body == {
        "client": "sub:sports-book",
        "policy": "token",
        "limit": 7,
        "window": 3600,
        "remaining": 6,
        "reset": 515,
    }


def test_with_the_limiter_off_a_token_still_counts_for_what_it_allows() -> None:
    rig = Rig(settings={"quota": None, "protected_prefixes": frozenset({"player"})})
    answer = rig.get(ID, Authorization=good("issue"))
    assert answer.status == 200
    assert not [name for name in answer.headers if "ratelimit" in name]
    assert [rig.get(ID).status, rig.get(ID, Authorization=FOREIGN).status] == [401, 401]


def test_the_limit_of_a_token_is_the_worker_s_own_while_the_store_is_away() -> None:
    rig = Rig(switched=True)
    rig.shared.away = True
    mine = good(rate_limit=2)
    assert [rig.get(ID, Authorization=mine).status for _ in range(3)] == [200, 200, 429]
    assert rig.get(ID).status == 200
