"""The locustfile's arithmetic: paces, shapes, new identities, and its own verdict."""

import json
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from bench.workloads import BATCH
from loadtest import plan
from tests.support.locust_stub import WorkerRunner, load_locustfile


@pytest.fixture(scope="module")
def locustfile() -> Any:
    return load_locustfile({})


def test_without_variables_the_guide_is_offered(locustfile: Any) -> None:
    assert locustfile.RATES == plan.RATES
    assert locustfile.USERS == plan.USERS
    limits = plan.Thresholds()
    assert (limits.hit_ratio, limits.p99) == (locustfile.HIT_RATIO, locustfile.P99_MS / 1000)


def test_the_runner_and_the_locustfile_agree_on_the_mix(locustfile: Any) -> None:
    assert locustfile.HEADROOM == plan.HEADROOM
    assert locustfile.ROWS == BATCH
    assert locustfile.SHAPES["steady"][1] == (plan.RAMP_SHARE, 1)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LOADTEST_USERS": "200", "LOADTEST_ID_RATE": "75", "LOADTEST_BATCH_RATE": "10", "LOADTEST_VALIDATE_RATE": "9"},
    ],
)
def test_all_users_together_offer_a_little_more_than_the_rates(environment: dict[str, str]) -> None:
    module = load_locustfile(environment)
    classes = {"id": module.IdUser, "batch": module.BatchUser, "validate": module.ValidateUser}
    everybody = [*classes.values(), module.BotUser, module.BrowserUser]
    weights = sum(each.weight for each in everybody)
    for kind, each in classes.items():
        offered = module.USERS * each.weight / weights / each.wait_time
        assert offered == pytest.approx(module.RATES[kind] * module.HEADROOM)
    assert module.BotUser.weight / weights == pytest.approx(module.BOTS)
    assert module.BrowserUser.weight / weights == pytest.approx(module.BROWSERS)


SHAPE_MOMENTS = [
    ("steady", 0.0, 0.0),
    ("steady", 0.15, 0.5),
    ("steady", 0.3, 1.0),
    ("steady", 0.999, 1.0),
    ("ramp", 0.25, 0.25),
    ("ramp", 0.999, 0.999),
    ("step", 0.0, 0.2),
    ("step", 0.199, 0.2),
    ("step", 0.2, 0.4),
    ("step", 0.999, 1.0),
    ("spike", 0.1, 0.15),
    ("spike", 0.399, 0.3),
    ("spike", 0.4, 1.0),
    ("spike", 0.599, 1.0),
    ("spike", 0.6, 0.3),
    ("spike", 0.999, 0.3),
    ("soak", 0.01, 0.5),
    ("soak", 0.5, 1.0),
]


@pytest.mark.parametrize(("shape", "moment", "users"), SHAPE_MOMENTS)
def test_a_shape_is_a_function_of_time(locustfile: Any, shape: str, moment: float, users: float) -> None:
    assert locustfile.users_at(locustfile.SHAPES[shape], moment) == pytest.approx(users)


def test_every_shape_ends_when_its_time_is_over(locustfile: Any) -> None:
    assert {locustfile.users_at(points, 1.0) for points in locustfile.SHAPES.values()} == {None}


def test_a_shape_counts_from_the_moment_at_which_all_users_are_there() -> None:
    module = load_locustfile({"LOADTEST_USERS": "100", "LOADTEST_SECONDS": "10"})
    shape = module.Shape()
    seen = []
    for shape.run_time, shape.user_count in ((0.0, 0), (1.5, 40), (3.0, 90), (4.0, 100), (10.0, 100)):
        seen.append((shape.tick(), bool(module.Shape.full_since)))
    assert seen == [
        ((1, 100.0), False),
        ((50, 100.0), False),
        ((100, 100.0), False),
        ((100, 100.0), True),
        (None, True),
    ]


def test_each_user_has_an_address_and_an_identity_of_its_own(locustfile: Any) -> None:
    users = [locustfile.IdUser(environment=None) for _ in range(300)]
    addresses = {user.headers["X-Forwarded-For"] for user in users}
    assert len(addresses) == len({user.run_name for user in users}) == 300
    assert all(re.fullmatch(r"198\.1[89]\.\d{1,3}\.\d{1,3}", address) for address in addresses)


def test_one_identity_in_twelve_is_new(locustfile: Any) -> None:
    user = locustfile.IdUser(environment=None)
    asked: list[str] = []
    user.get_id = asked.append
    for _ in range(24):
        user.get()
    assert asked.count(user.target) == 22
    assert len(set(asked)) == 3


def test_bots_share_few_addresses_and_browsers_name_their_origin(locustfile: Any) -> None:
    bots = {locustfile.BotUser(environment=None).headers["X-Forwarded-For"] for _ in range(50)}
    assert len(bots) == 4
    assert locustfile.BrowserUser(environment=None).headers["Origin"] == "https://sports.yourbook.com"
    token = load_locustfile({"LOADTEST_BOT_TOKEN": "abc"}).BotUser(environment=None)
    assert token.headers["Authorization"] == "Bearer abc"


def test_a_batch_is_a_body_of_the_guide_s_form(locustfile: Any) -> None:
    document = json.loads(locustfile.batch_of(["a", "b"]))
    assert document == {
        "environments": [{"name": "a", "prefix": "player", "run": "a"}, {"name": "b", "prefix": "player", "run": "b"}]
    }


def answer(status: int, content: bytes = b"", headers: Mapping[str, str] | None = None) -> Any:
    return SimpleNamespace(status_code=status, content=content, headers=headers or {})


def test_a_page_sends_one_request_however_often_it_renders(locustfile: Any) -> None:
    asked = []
    user = locustfile.BrowserUser(environment=None)

    def get_id(target: str, _name: str) -> Any:
        asked.append(target)
        return answer(200, b'{"id": "web-1@a.example/v1:id"}', {"Access-Control-Allow-Origin": "*"})

    user.get_id = get_id
    user.validate = lambda body, expected, name: asked.append(json.loads(body)["identity"])
    user.visit()
    assert asked == [user.target, "web-1@a.example/v1:id"]


@pytest.mark.parametrize(
    ("response", "failures"),
    [
        (answer(200, b'{"valid":true}'), 0),
        (answer(200, b'{"valid":false}'), 1),
        (answer(500, b"oops"), 0),  # Locust has counted it by its status
        (answer(0), 0),
    ],
)
def test_a_wrong_content_is_a_failure_of_its_own(locustfile: Any, response: Any, failures: int) -> None:
    reported: list[Any] = []
    fire = SimpleNamespace(fire=lambda **words: reported.append(words))
    user = locustfile.ValidateUser(SimpleNamespace(events=SimpleNamespace(request=fire)))
    user.check("validate", response, b'"valid":true')
    assert [type(each["exception"]) for each in reported] == [AssertionError] * failures


@pytest.mark.parametrize(
    ("allowed", "failures"), [("*", 0), ("https://sports.yourbook.com", 0), ("https://a", 1), (None, 1)]
)
def test_an_answer_that_a_browser_would_hide_is_a_failure(locustfile: Any, allowed: str | None, failures: int) -> None:
    reported: list[Any] = []
    user = locustfile.BrowserUser(environment=None)
    user.report = lambda name, fault: reported.append(fault)
    headers = {} if allowed is None else {"Access-Control-Allow-Origin": allowed}
    user.check_cors("id (browser)", answer(200, headers=headers))
    assert len(reported) == failures


def test_rates_are_those_of_whole_seconds(locustfile: Any) -> None:
    entries = [{100: 5, 101: 10, 102: 12, 103: 7}, {101: 1}]
    assert locustfile.reached(entries, 101.4, 103.2) == pytest.approx((10 + 12 + 1) / 2)
    assert locustfile.reached(entries, 103, 103) == 0


HIT_RATIOS = [
    ((1.0, 10, 100), (1.0, 105, 200), 0.95),
    ((1.0, 10, 100), (2.0, 90, 100), 0.9),  # another replica: its whole life
    (None, (1.0, 50, 100), 0.5),
    ((1.0, 10, 100), None, 0.0),
    ((1.0, 10, 100), (1.0, 10, 100), 0.0),
]


@pytest.mark.parametrize(("before", "after", "ratio"), HIT_RATIOS)
def test_the_hit_ratio_is_that_of_the_time_in_between(locustfile: Any, before: Any, after: Any, ratio: float) -> None:
    def lookups(row: Any) -> Any:
        return None if row is None else locustfile.Lookups(*row)

    assert locustfile.hit_ratio(lookups(before), lookups(after)) == pytest.approx(ratio)


def judged(
    *, rates: tuple[int, int, int], p99: int = 20, failures: int = 0, hits: int = 950, busy: bool = False
) -> Any:
    """The exit code after a run of 100 seconds in which so much came."""
    module = load_locustfile({})
    module.Shape.full_since, module.Shape.lookups_then = 1000.0, module.Lookups(1.0, 0, 0)
    module.read_lookups = lambda _host: module.Lookups(1.0, hits, 1000)
    seconds = range(1000, 1100)
    entries = {
        (name, "GET"): SimpleNamespace(num_reqs_per_sec=dict.fromkeys(seconds, rate))
        for name, rate in zip(("id", "batch", "validate (browser)"), rates, strict=True)
    }
    total = SimpleNamespace(num_failures=failures, num_requests=1, get_response_time_percentile=lambda _share: p99)
    environment = SimpleNamespace(
        stats=SimpleNamespace(entries=entries, total=total, last_request_timestamp=1100.0),
        runner=SimpleNamespace(cpu_warning_emitted=busy, worker_cpu_warning_emitted=False),
        host="http://127.0.0.1:1",
        process_exit_code=None,
    )
    module.judge(environment)
    return environment.process_exit_code


GOOD = (1500, 200, 2000)
VERDICTS: list[tuple[dict[str, Any], int]] = [
    ({"rates": GOOD}, 0),
    ({"rates": GOOD, "busy": True}, 0),
    ({"rates": (1499, 200, 2000)}, 1),
    ({"rates": (1500, 200, 1999)}, 1),
    ({"rates": (1499, 200, 2000), "busy": True}, 3),
    ({"rates": GOOD, "p99": 50}, 1),
    ({"rates": GOOD, "p99": 50, "busy": True}, 3),
    ({"rates": GOOD, "failures": 1}, 1),
    ({"rates": (1499, 200, 2000), "failures": 1, "busy": True}, 1),
    ({"rates": GOOD, "hits": 939}, 1),
    ({"rates": GOOD, "hits": 940}, 0),
]


@pytest.mark.parametrize(("run", "code"), VERDICTS)
def test_the_exit_code_is_the_verdict(run: dict[str, Any], code: int) -> None:
    assert judged(**run) == code


def test_a_worker_judges_nothing(locustfile: Any) -> None:
    environment = SimpleNamespace(runner=WorkerRunner(), process_exit_code=None)
    locustfile.judge(environment)
    assert environment.process_exit_code is None
