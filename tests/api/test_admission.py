"""Admission and the rate-limit headers; a brute-force model checks the store's arithmetic."""

import gc
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsenal_fast.api.admission import MAX_BATCH, TURNS, OnFailure
from arsenal_fast.api.context import RequestContext
from arsenal_fast.ratelimit.quota import Quota
from tests.support.rig import PEER, Answer, Client, Rig, request

TARGET = "/api/v1/id?prefix=player&run=1"
ONE = request("GET", TARGET)
SECOND = 1_000_000  # us


def peer(number: int) -> tuple[str, int]:
    return f"198.51.100.{number}", 40_000 + number


def ask(client: Client, count: int = 1) -> list[Answer]:
    """Send requests in one packet and return their answers."""
    client.send(ONE * count)
    return client.answers(*["GET"] * count)


@dataclass
class Model:
    """GCRA by the book (ITU-T I.371): one theoretical arrival time a client, in us."""

    quota: Quota
    tats: dict[int, int] = field(default_factory=dict)

    def hit(self, client: int, now: int) -> tuple[int, int, int, int | None]:
        """(status, remaining, reset, retry after) of one request."""
        interval = self.quota.window * SECOND // self.quota.limit
        tat = max(self.tats.get(client, 0), now)
        if tat + interval - now > interval * self.quota.limit:
            wait = tat + interval - now - interval * self.quota.limit
            return 429, 0, -(-(tat - now) // SECOND), -(-wait // SECOND)
        self.tats[client] = tat = tat + interval
        return 200, (interval * self.quota.limit - (tat - now)) // interval, -(-(tat - now) // SECOND), None


def told(answer: Answer) -> tuple[int, int, int, int | None]:
    headers = answer.headers
    remaining, reset = int(headers["x-ratelimit-remaining"]), int(headers["x-ratelimit-reset"])
    assert headers["ratelimit"] == f'"default";r={remaining};t={reset}'
    retry_after = headers.get("retry-after")
    return answer.status, remaining, reset, None if retry_after is None else int(retry_after)


QUOTAS = [Quota(1, 1), Quota(3, 7), Quota(100, 3600), Quota(5, 1), Quota(10, 3)]

# One tick: quarters of a second that pass before it, then (client, connection, requests in a packet), in order.
ticks = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 2, 3, 4, 9, 40, 144, 145]),
        st.lists(st.tuples(st.integers(1, 2), st.integers(0, 1), st.integers(1, 6)), min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(QUOTAS), ticks)
def test_every_answer_tells_the_truth_whatever_the_ticks_clients_and_connections(
    quota: Quota, moments: list[tuple[int, list[tuple[int, int, int]]]]
) -> None:
    rig, model = Rig(settings={"quota": quota}), Model(quota)
    connections = {(client, index): rig.connect(peer(client)) for client in (1, 2) for index in (0, 1)}
    for quarters, packets in moments:
        rig.advance(quarters / 4)
        now = round(rig.elapsed * SECOND)
        expected: dict[tuple[int, int], list[tuple[int, int, int, int | None]]] = {}
        for client, index, count in packets:
            connections[client, index].deliver(ONE * count)
        for client, index, count in packets:
            expected.setdefault((client, index), []).extend(model.hit(client, now) for _ in range(count))
        rig.tick()
        for key, outcomes in expected.items():
            answers = connections[key].answers(*["GET"] * len(outcomes))
            assert [told(answer) for answer in answers] == outcomes


def test_one_tick_is_one_command_of_the_distinct_clients_and_their_counts() -> None:
    rig = Rig(switched=True)
    clients = [rig.connect(peer(number)) for number in (1, 2, 1, 3)]
    for client, count in zip(clients, (3, 1, 2, 1), strict=True):
        client.deliver(ONE * count)
    assert rig.shared.admissions == [], "the tick is not over"
    rig.tick()
    assert rig.shared.admissions == [[("198.51.100.1", 5), ("198.51.100.2", 1), ("198.51.100.3", 1)]]
    assert rig.service.metrics.limiter_batches == 1


def test_a_batch_waits_for_company_only_while_a_command_is_under_way() -> None:
    rig = Rig(switched=True)
    rig.shared.holding = True
    clients = [rig.connect(peer(number)) for number in range(TURNS + 3)]
    clients[0].deliver(ONE)
    rig.turn()
    assert rig.shared.admissions == [[("198.51.100.0", 1)]], "the store had nothing to do"
    for client in clients[1:-1]:  # one in each turn in which the batch waits, and one in the turn in which it leaves
        client.deliver(ONE)
        assert len(rig.shared.admissions) == 1
        rig.turn()
    assert rig.shared.admissions[1:] == [[(f"198.51.100.{number}", 1) for number in range(1, TURNS + 2)]]
    clients[-1].deliver(ONE)
    rig.shared.release_all()
    rig.turn()
    assert rig.shared.admissions[2:] == [[(f"198.51.100.{TURNS + 2}", 1)]], "no command is under way any more"
    rig.tick()
    assert [client.answers("GET")[0].status for client in clients] == [200] * len(clients)


def many(rig: Rig, count: int) -> list[Client]:
    return [rig.connect((f"198.51.{number // 256}.{number % 256}", 40_000)) for number in range(count)]


def test_a_batch_that_is_full_leaves_before_the_tick_is_over() -> None:
    rig = Rig(settings={"quota": Quota(10_000, 60)}, switched=True)
    clients = many(rig, MAX_BATCH + 5)
    rig.listener.turns.left = 2 * MAX_BATCH  # recognised requests have no bound in a turn
    for client in clients:
        client.deliver(ONE)
    assert [len(rows) for rows in rig.shared.admissions] == [MAX_BATCH]
    rig.tick()
    assert [len(rows) for rows in rig.shared.admissions] == [MAX_BATCH, 5]
    assert rig.service.metrics.limiter_batches == 2
    assert [client.answers("GET")[0].status for client in clients] == [200] * len(clients)


def test_a_tick_that_ends_with_a_full_batch_asks_for_nothing_more() -> None:
    rig = Rig(settings={"quota": Quota(10_000, 60)}, switched=True)
    clients = many(rig, MAX_BATCH)
    rig.listener.turns.left = 2 * MAX_BATCH  # recognised requests have no bound in a turn
    for client in clients:
        client.deliver(ONE)
    rig.tick()
    assert [len(rows) for rows in rig.shared.admissions] == [MAX_BATCH]
    clients[0].send(ONE)
    assert rig.shared.admissions[1:] == [[("198.51.0.0", 1)]]


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("quota", [None, Quota(2000, 60)])
def test_clients_that_send_far_more_than_a_batch_at_once_get_all_their_answers(
    switched: bool, quota: Quota | None
) -> None:
    """Responses that arrive while requests are read let stalled connections continue."""
    rig = Rig(settings={"quota": quota}, switched=switched, max_connections=2000)
    clients = [rig.connect() for _ in range(20)]
    others = many(rig, 2 * MAX_BATCH)
    for number, client in enumerate(clients):
        for other in others[number :: len(clients)]:
            other.deliver(ONE)
        client.deliver(ONE * 125)
    rig.tick()
    answers = [client.answers(*["GET"] * 125) for client in clients]
    statuses = Counter(answer.status for each in answers for answer in each)
    assert statuses == ({200: 2500} if quota is None else {200: 2000, 429: 500})
    assert {other.answers("GET")[0].status for other in others} == {200}


@pytest.mark.parametrize("ticks", [1, 10, 250])
def test_of_a_thousand_requests_with_a_hundred_left_exactly_a_hundred_pass(ticks: int) -> None:
    rig = Rig()
    clients = [rig.connect(("203.0.113.9", port)) for port in range(50)]
    statuses: Counter[int] = Counter()
    for tick in range(ticks):
        for client in (
            clients[tick % 50 :] + clients[: tick % 50] if ticks < 250 else clients[tick % 50 : tick % 50 + 1]
        ):
            client.deliver(ONE * (1000 // ticks // (50 if ticks < 250 else 1)))
        rig.tick()
        for client in clients:
            octets = client.take()
            statuses.update(int(status) for status in (part[:3] for part in octets.split(b"HTTP/1.1 ")[1:]))
    assert statuses == {200: 100, 429: 900}


def test_the_first_in_order_of_arrival_pass() -> None:
    rig = Rig(settings={"quota": Quota(3, 60)})
    first, second = rig.connect(), rig.connect()
    first.deliver(ONE * 2)
    second.deliver(ONE * 2)
    first.deliver(ONE)
    rig.tick()
    assert [answer.status for answer in first.answers("GET", "GET", "GET")] == [200, 200, 429]
    assert [answer.status for answer in second.answers("GET", "GET")] == [200, 429]


def test_a_refusal_says_by_its_type_what_was_violated() -> None:
    rig = Rig(settings={"quota": Quota(1, 60)})
    denied = ask(rig.connect(), 2)[1]
    assert denied.status == 429
    assert denied.headers["content-type"] == "application/problem+json"
    assert denied.headers["cache-control"] == "no-store"
    assert denied.json == {
        "type": "/problems/quota-exceeded",
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "detail": "This client has used its 1 requests per 60 s; try again in 60 s.",
        "request_id": denied.headers["x-request-id"],
        "violated-policies": ["default"],
    }


def test_a_denied_client_is_not_asked_for_again_until_its_time_has_come_and_then_passes_exactly_once() -> None:
    rig = Rig(settings={"quota": Quota(4, 60)}, switched=True)
    client, other = rig.connect(), rig.connect()
    assert [answer.status for answer in ask(client, 5)] == [200] * 4 + [429]
    commands = len(rig.shared.admissions)
    for waited, left in ((0, 15), (0.25, 15), (1, 14), (13.5, 1)):
        rig.advance(waited)
        for answer in (*ask(client, 2), *ask(other)):
            assert told(answer)[0] == 429
            assert told(answer)[3] == left
    assert len(rig.shared.admissions) == commands
    rig.advance(0.25)
    assert [answer.status for answer in ask(client, 3) + ask(other, 2)] == [200, 429, 429, 429, 429]
    assert len(rig.shared.admissions) == commands + 1, "the first denial of the tick was remembered at once"


@pytest.mark.parametrize("uptime", [0.0, 0.1, 12_345.678, 98_765_432.1])
def test_a_refusal_from_memory_tells_the_same_as_the_one_of_the_store_at_that_moment(uptime: float) -> None:
    rig = Rig(settings={"quota": Quota(5, 1)})
    rig.elapsed += uptime
    client = rig.connect()
    by_store, *by_memory = [told(answer) for answer in ask(client, 6)[5:] + ask(client) + ask(client)]
    assert by_store == (429, 0, 1, 1)
    assert by_memory == [by_store] * 2
    assert rig.service.metrics.limiter_denied_locally == 2


def test_a_refusal_from_memory_is_timed_from_its_own_request_on() -> None:
    rig = Rig(settings={"quota": Quota(2, 3600)})
    client = rig.connect()
    for _ in range(5):  # the last ones are recognised by their bytes, and denied before any batch begins
        client.get(TARGET)
        rig.advance(60)
    assert rig.service.metrics.limiter_denied_locally == 2
    assert rig.service.metrics.series["/api/v1/id", "GET", 429].nanoseconds == 0


def test_being_refused_does_not_prolong_the_wait() -> None:
    rig = Rig(settings={"quota": Quota(1, 10)})
    client = rig.connect()
    ask(client)
    for _ in range(39):
        rig.advance(0.25)
        assert ask(client)[0].status == 429
    rig.advance(0.25)
    assert ask(client)[0].status == 200


def test_batches_whose_answers_come_in_another_order_are_told_apart() -> None:
    rig = Rig(settings={"quota": Quota(10, 3600)}, switched=True)
    rig.shared.holding = True
    clients = {number: rig.connect(peer(number)) for number in (1, 2, 3)}
    for numbers in ((1, 2), (2, 1, 3), (3, 2)):
        for number in numbers:
            clients[number].deliver(ONE)
        rig.tick()
    for _ in range(3):
        rig.shared.release(-1)
    rig.shared.release_all()
    rig.tick()
    remaining = {
        number: [int(answer.headers["x-ratelimit-remaining"]) for answer in client.answers(*["GET"] * count)]
        for (number, client), count in zip(clients.items(), (2, 3, 2), strict=True)
    }
    assert remaining == {1: [9, 8], 2: [9, 8, 7], 3: [9, 8]}


FREE = [
    *("/api/v1/limits", "/api/health", "/api/health/live", "/api/health/ready", "/api/health/startup"),
    *("/api/metrics", "/api/telemetry", "/api/openapi.json", "/api/docs", "/", "/favicon.ico", "/nothing"),
]


@pytest.mark.parametrize("target", FREE)
def test_probes_metrics_pages_and_looks_are_free(target: str) -> None:
    rig = Rig(switched=True)
    assert rig.get(target).status in {200, 302, 404}
    assert [quantity for rows in rig.shared.admissions for _, quantity in rows if quantity] == []


def test_a_bad_request_is_charged_as_a_good_one() -> None:
    rig = Rig()
    assert rig.get("/api/v1/id?run=").headers["x-ratelimit-remaining"] == "99"
    assert rig.post("/api/v1/identities", b"{").headers["x-ratelimit-remaining"] == "98"
    assert rig.post("/api/v1/identities", b"{", Content_Type="text/plain").headers["x-ratelimit-remaining"] == "97"


def test_with_the_limiter_off_nobody_is_counted_and_nothing_is_said() -> None:
    rig = Rig(settings={"quota": None}, switched=True)
    answers = ask(rig.connect(), 30) + ask(rig.connect(), 30) + [rig.get("/api/v1/nothing")]
    assert {answer.status for answer in answers} == {200, 404}
    assert not [name for answer in answers for name in answer.headers if "ratelimit" in name]
    assert rig.shared.admissions == [[]] * 3, "a tick only reads the revision"


# The store away. Both ways are tried: the second request of a connection is recognised by its bytes.


def outage(mode: OnFailure, quota: Quota | None = None, *, fast_path: bool = True) -> tuple[Rig, Client]:
    """A worker that has lost its store, and a client that has been here."""
    rig = Rig(settings={"on_store_failure": mode, "quota": quota or Quota(3, 60)}, switched=True, fast_path=fast_path)
    client = rig.connect()
    assert client.get(TARGET).status == client.get("/api/v1/id?prefix=player&run=2").status == 200
    rig.shared.away = True
    return rig, client


def test_local_the_worker_limits_by_itself_with_a_fresh_count() -> None:
    rig, client = outage(OnFailure.LOCAL)
    answers = [client.get(TARGET) for _ in range(4)]
    assert [told(answer) for answer in answers] == [
        (200, 2, 20, None),
        (200, 1, 40, None),
        (200, 0, 60, None),
        (429, 0, 60, 20),
    ]
    assert rig.service.metrics.limiter_fallback == 4


def test_local_a_refusal_ends_with_the_outage() -> None:
    rig, client = outage(OnFailure.LOCAL, Quota(100, 3600))
    assert [answer.status for answer in ask(client, 20) + ask(client, 30) + ask(client, 30) + ask(client, 21)] == [
        *[200] * 100,
        429,
    ]
    rig.shared.come_back()
    assert told(client.get(TARGET))[:2] == (200, 97)


@pytest.mark.parametrize("fast_path", [True, False])
def test_open_everybody_passes_and_gets_the_identity_that_was_asked_for(fast_path: bool) -> None:
    rig, client = outage(OnFailure.OPEN, fast_path=fast_path)
    for run in (1, 2, 2, 1, 3, 3, 1):
        answer = client.get(f"/api/v1/id?prefix=player&run={run}")
        assert (answer.status, answer.json["metadata"]["run"]) == (200, str(run))
        assert not [name for name in answer.headers if "ratelimit" in name]
    assert rig.service.metrics.series["/api/v1/id", "GET", 200].count == 9


@pytest.mark.parametrize("target", [TARGET, "/api/v1/id?prefix=player&run=3"])
def test_closed_everybody_is_refused_for_a_second(target: str) -> None:
    rig, client = outage(OnFailure.CLOSED)
    answer = client.get(target)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert rig.access[-1] == (b"/api/v1/id", "203.0.113.9", 503)
    assert rig.service.metrics.series["/api/v1/id", "GET", 503].nanoseconds == 0
    rig.shared.come_back()
    assert client.get(target).status == 200


@pytest.mark.parametrize("mode", OnFailure)
def test_probes_and_pages_do_not_notice_an_outage(mode: OnFailure) -> None:
    _, client = outage(mode)
    for target in ("/api/health", "/api/health/ready", "/api/v1/limits", "/api/docs"):
        assert client.get(target).status == 200


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("mode", OnFailure)
def test_a_connection_that_fails_keeps_the_answer_from_nobody_else(
    mode: OnFailure, away: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(settings={"on_store_failure": mode, "quota": Quota(20, 60)}, switched=True)
    clients = [rig.connect() for _ in range(5)]
    for client in clients:
        client.get(TARGET)
    rig.shared.away = away
    for client in clients:
        client.deliver(ONE)
    clients[0].transport.broken = True
    clients[1].lose()
    clients[2].transport.fault = ZeroDivisionError()
    rig.tick()
    assert clients[2].transport.aborted
    assert "ZeroDivisionError" in caplog.text
    expected = 503 if away and mode is OnFailure.CLOSED else 200
    assert [client.answers("GET")[0].status for client in clients[3:]] == [expected] * 2


def test_what_was_answered_is_freed_at_once_and_leaves_nothing_for_the_garbage_collector() -> None:
    """Clients are cached: objects that they refer to would stay as long, and a cycle until a collection."""
    rig = Rig(settings={"trusted_proxies": [f"{PEER[0]}/32"]})
    client = rig.connect()
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(each, RequestContext) for each in gc.get_objects())
        for run in range(50):
            client.get(f"/api/v1/id?prefix=player&run={run}", X_Forwarded_For=f"198.51.100.{run}")
        kept = sum(isinstance(each, RequestContext) for each in gc.get_objects())
    finally:
        gc.enable()
    assert kept <= before + 1, "the connection's last one"


# Clients that are not remembered


def crowded(quota: Quota) -> Rig:
    """A worker that has heard of more clients behind a proxy than it remembers."""
    rig = Rig(settings={"quota": quota, "cache_size": 4, "trusted_proxies": ["10.0.0.0/8"]}, switched=True)
    proxy = rig.connect(("10.0.0.1", 1))
    for number in range(45):
        proxy.get(TARGET, X_Forwarded_For=f"192.0.2.{number}")
    return rig


def test_a_client_that_is_not_remembered_is_told_the_truth_also_within_one_tick() -> None:
    rig = crowded(Quota(4, 60))
    once = request("GET", TARGET, X_Forwarded_For="198.51.100.1")
    proxies = [rig.connect(("10.0.0.2", port)) for port in range(3)]
    for proxy in proxies:
        proxy.deliver(once * 2)
    rig.tick()
    answers = [told(answer)[:2] for proxy in proxies for answer in proxy.answers("GET", "GET")]
    assert answers == [(200, 3), (200, 2), (200, 1), (200, 0), (429, 0), (429, 0)]
    assert rig.shared.admissions[-1] == [("198.51.100.1", 1), ("198.51.100.1", 5)], "it was two clients here"


def test_a_denied_client_is_remembered_however_many_others_come() -> None:
    rig = crowded(Quota(2, 3600))
    proxy = rig.connect(("10.0.0.2", 1))
    statuses = [proxy.get(TARGET, X_Forwarded_For="198.51.100.1").status for _ in range(100)]
    assert statuses == [200] * 2 + [429] * 98
    assert rig.service.metrics.limiter_denied_locally >= 97
