"""The client that a request is charged to: an address, or the subject of a service token."""

import pytest

from arsenal_fast.api import auth
from arsenal_fast.api.admission import Admission
from arsenal_fast.api.callers import SUBJECTS
from arsenal_fast.identity.amendments import WITHDRAWN, Amendment, subject_key, token_key
from arsenal_fast.ratelimit.quota import Quota
from arsenal_fast.tokens.claims import ServiceToken, token_id
from tests.support.callers import EXPIRED, FOREIGN, GOOD, ID, LIMITS, good, remaining
from tests.support.rig import START, Rig, request


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
    assert len(admission._lines._by_quota) <= 256
    assert rig.get(ID).headers["ratelimit-policy"] == '"default";q=100;w=3600'


def test_limits_tells_the_limit_of_the_token() -> None:
    rig = Rig()
    rig.get(ID, Authorization=good(rate_limit=7))
    body = rig.get(LIMITS, Authorization=good(rate_limit=7)).json
    policy = {"policy": "token", "limit": 7, "window": 3600, "remaining": 6, "reset": 515}
    assert body == {"client": "sub:sports-book", **policy, "policies": [policy]}


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


SUBJECT = "Arsenal-Subject"


def behalf(rig: Rig, per_subject: int = 2, rate_limit: int = 100) -> dict[str, str]:
    """The fields of a bot whose users have a limit each."""
    return {"Authorization": rig.bearer("behalf", subject="bot", rate_limit=rate_limit, per_subject=per_subject)}


def test_one_subject_that_spams_is_refused_and_the_others_are_not() -> None:
    rig = Rig(switched=True)
    fields = behalf(rig)
    client = rig.connect()
    answers = [client.get(ID, **fields, **{SUBJECT: name}) for name in ("tg-1", "tg-1", "tg-1", "tg-2", "tg-1")]
    assert [answer.status for answer in answers] == [200, 200, 429, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"token";q=100;w=3600, "subject";q=2;w=3600'
    assert answers[0].headers["ratelimit"] == '"token";r=99;t=36, "subject";r=1;t=1800'
    refused = answers[2]
    assert refused.json["violated-policies"] == ["subject"]
    assert refused.json["detail"] == (
        "The subject of this request has used its 2 requests per 3600 s; try again in 1800 s."
    )
    assert refused.headers["retry-after"] == "1800"
    assert refused.headers["ratelimit"] == '"token";r=98;t=72, "subject";r=0;t=3600', "the bot was not charged for it"
    assert answers[3].headers["ratelimit"] == '"token";r=97;t=108, "subject";r=1;t=1800'
    assert rig.shared.admissions[0] == [("sub:bot>tg-1", 1), ("sub:bot>tg-1", 0)], "two cells of one client"
    assert [client for _, client, _ in rig.access] == [f"sub:bot>tg-{number}" for number in (1, 1, 1, 2, 1)]


def test_a_bot_whose_own_limit_is_used_up_charges_no_subject() -> None:
    rig = Rig()
    fields = behalf(rig, rate_limit=1)
    client = rig.connect()
    assert client.get(ID, **fields, **{SUBJECT: "tg-1"}).status == 200
    refused = client.get(ID, **fields, **{SUBJECT: "tg-2"})
    assert (refused.status, refused.json["violated-policies"]) == (429, ["token"])
    assert refused.headers["ratelimit"] == '"token";r=0;t=3600, "subject";r=2;t=0'
    both = client.get(ID, **fields, **{SUBJECT: "tg-1"})
    assert both.json["violated-policies"] == ["token"], "of the subject one is left"


def test_a_refusal_by_both_names_both_and_the_longer_wait() -> None:
    rig = Rig()
    fields = {**behalf(rig, per_subject=1, rate_limit=1), SUBJECT: "tg-1"}
    client = rig.connect()
    assert client.get(ID, **fields).status == 200
    rig.advance(600)
    assert rig.get(ID, Authorization=fields["Authorization"]).status == 429
    refused = client.get(ID, **fields)
    assert refused.json["violated-policies"] == ["token", "subject"]
    assert refused.headers["retry-after"] == "3000"


def test_without_the_field_the_token_is_charged_alone() -> None:
    rig = Rig()
    answer = rig.get(ID, **behalf(rig))
    assert answer.headers["ratelimit"] == '"token";r=99;t=36'


@pytest.mark.parametrize("name", ["a", "x" * 128, "tg:4711!", "!~"])
def test_a_subject_may_be_any_visible_octets(name: str) -> None:
    rig = Rig()
    assert rig.get(ID, **behalf(rig), **{SUBJECT: name}).headers["ratelimit"].endswith('"subject";r=1;t=1800')


@pytest.mark.parametrize("name", ["", "x" * 129, "a b", "\u00e9"])
def test_any_other_subject_is_a_400_that_says_so_and_charges_the_token(name: str) -> None:
    rig = Rig()
    refused = rig.get(ID, **behalf(rig), **{SUBJECT: name})
    assert refused.status == 400
    assert refused.json["detail"] == "Arsenal-Subject must be 1 to 128 visible ASCII characters."
    assert refused.headers["ratelimit-policy"] == '"token";q=100;w=3600'


def test_a_subject_twice_is_a_400() -> None:
    client = Rig().connect()
    client.send(b"GET /api/v1/id HTTP/1.1\r\nHost: h\r\nArsenal-Subject: a\r\narsenal-subject: b\r\n\r\n")
    (answer,) = client.answers("GET")
    assert answer.json["detail"] == "Arsenal-Subject came more than once."


def test_a_subject_of_a_stranger_or_without_the_scope_is_refused_at_the_expense_of_the_sender() -> None:
    rig = Rig(switched=True)
    stranger = rig.get(ID, **{SUBJECT: "tg-1"})
    assert (stranger.status, stranger.json["detail"]) == (401, "Arsenal-Subject needs a service token of scope behalf.")
    other = rig.get(ID, Authorization=rig.bearer("issue", subject="bot"), **{SUBJECT: "tg-1"})
    assert (other.status, other.json["detail"]) == (403, "Arsenal-Subject needs the scope behalf.")
    assert rig.shared.admissions == [[("203.0.113.9", 1)], [("sub:bot", 1)]]


def test_a_probe_ignores_the_subject_also_on_a_connection_that_goes_on() -> None:
    rig = Rig(settings={"trusted_proxies": ["203.0.113.0/24"]}, worthwhile=1)
    client = rig.connect()
    fields = {"X-Forwarded-For": "198.51.100.1", SUBJECT: "198.51.100.2"}
    assert [client.get("/api/health/live", **fields).status for _ in range(3)] == [200] * 3
    assert [client.get(ID, **fields).status for _ in range(3)] == [401] * 3


def test_more_subjects_than_are_cached_keep_their_limits() -> None:
    rig = Rig()
    fields = behalf(rig, per_subject=1, rate_limit=100_000)
    client = rig.connect()
    assert client.get(ID, **fields, **{SUBJECT: "first"}).status == 200
    for number in range(2 * SUBJECTS + 2):
        client.send(request("GET", ID, **fields, **{SUBJECT: f"tg-{number}"}))
        client.answers("GET")
    assert client.get(ID, **fields, **{SUBJECT: "first"}).status == 429


def test_subjects_of_one_tick_are_one_command_with_the_cell_of_the_bot_before_each() -> None:
    rig = Rig(switched=True)
    fields = behalf(rig, per_subject=1, rate_limit=2)
    client = rig.connect()
    client.deliver(b"".join(request("GET", ID, **fields, **{SUBJECT: name}) for name in ("a", "a", "b", "c")))
    rig.tick()
    answers = client.answers(*["GET"] * 4)
    assert [answer.status for answer in answers] == [200, 429, 200, 429]
    assert [answer.json["violated-policies"] for answer in answers if answer.status == 429] == [["subject"], ["token"]]
    assert len(rig.shared.admissions) == 1


@pytest.mark.parametrize("what", ["token", "subject", "limit"])
def test_an_end_user_s_client_ends_with_its_token_or_gets_the_new_limit(what: str) -> None:
    rig = Rig(worthwhile=1)
    fields = {**behalf(rig, per_subject=50), SUBJECT: "tg-1"}
    client = rig.connect()
    assert [client.get(ID, **fields).status for _ in range(4)] == [200] * 4, "recognised from the second on"
    key = subject_key("bot") if what == "subject" else token_key(token_id(fields["Authorization"][7:]))
    limit = 77 if what == "limit" else WITHDRAWN
    moment_ms = int(rig.wall + 1) * 1000
    answer: list[bool | None] = []
    rig.service.backend.revocations.amend(key, Amendment(moment_ms, limit, moment_ms + 3_600_000), answer.append)
    assert answer == [True]
    for asking in (client, rig.connect()):
        for _ in range(3):
            after = asking.get(ID, **fields)
            if what == "limit":
                assert after.headers["ratelimit-policy"] == '"token";q=77;w=3600, "subject";q=50;w=3600'
            else:
                assert (after.status, after.json["detail"]) == (401, "The token has been withdrawn.")


def test_a_token_that_is_used_on_behalf_of_a_subject_is_noted_as_used() -> None:
    rig = Rig()
    fields = {**behalf(rig), SUBJECT: "tg-1"}
    rig.get(ID, **fields)
    assert rig.service.admission.used_tokens() == {token_id(fields["Authorization"][7:])}
