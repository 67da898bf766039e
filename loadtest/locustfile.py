"""The guide's mix as Locust users. This file needs only Locust and is configured by environment variables.

    LOCUST_HOST=http://127.0.0.1:3655 locust -f loadtest/locustfile.py --headless

So it can be mounted by itself, or fetched from the master by a worker (``-f -``). ``docs/load-testing.md`` has the
variables, ``python -m loadtest`` runs it against a service of its own and watches both sides.

The rules of this file:

* **Pace, not speed.** Users are paced so that all of them together offer the rates. A user that waits for an answer
  sends nothing, so what could not be offered shows as a missed rate.
* A request costs the generator little: users make their bodies and headers once, and only a few bytes of a
  response are checked. A 2xx with wrong content is reported as a failure of its own.
* Each user has an address and an identity of its own. A fixed part of the requests is for new identities, so that
  the hit ratio is below one by a known amount: a lower ratio means that the service has lost entries.
"""

import gc
import itertools
import json
import logging
import os
import random
import re
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from geventhttpclient.connectionpool import ConnectionPool
from locust import FastHttpUser, LoadTestShape, constant_pacing, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

log = logging.getLogger("loadtest")


def number(name: str, default: float) -> float:
    return float(os.environ.get(f"LOADTEST_{name}", default))


# What the guide promises, per second, at 5,000 users.
RATES = {"id": number("ID_RATE", 1500), "batch": number("BATCH_RATE", 200), "validate": number("VALIDATE_RATE", 2000)}
USERS = int(number("USERS", 5000))
HIT_RATIO = number("HIT_RATIO", 0.94)
P99_MS = number("P99_MS", 50)
JUDGE = number("JUDGE", 1)  # 0: no verdict, the exit code is Locust's own

SECONDS = number("SECONDS", 60)  # the length of the whole shape
SHAPE = os.environ.get("LOADTEST_SHAPE", "steady")
ORIGIN = os.environ.get("LOADTEST_ORIGIN", "https://sports.yourbook.com")
BOT_TOKEN = os.environ.get("LOADTEST_BOT_TOKEN", "")  # a service token; without one bots are charged by address

HEADROOM = 1.02  # pacing can only lose: 2 % more are offered than must be reached
ROWS = 10  # of a batch
NEW_ID_EVERY = 12  # one in 12 identities is new,
NEW_ROW_EVERY = 2  # every other batch has one new row,
STRANGER_EVERY = 50  # one in 50 validated identities was never issued: 0.95 of the look-ups can hit
BOTS = 0.02  # of the users
BROWSERS = 0.04
BOT_PERIOD = 5.0  # seconds from one command of a Telegram user to the next
VISIT_PERIOD = 20.0  # seconds from one page of a browser to the next
STALE_TIME = 300.0  # seconds for which the guide's useIdentity() sends no request
RENDERS = 5  # of a page, each of which wants the identity

BOT_HEADERS = {"Authorization": f"Bearer {BOT_TOKEN}"} if BOT_TOKEN else {}
BROWSER_HEADERS = {"Origin": ORIGIN, "Referer": f"{ORIGIN}/", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}
SPREAD = 2.0  # seconds over which users who were spawned together begin, at most

PERIOD = USERS * (1 - BOTS - BROWSERS) / (HEADROOM * sum(RATES.values()))  # seconds between two requests of a user

# A run of an earlier process must not be known to the service: "new" means new.
TAG = f"{time.time_ns() // 1_000_000_000:x}{random.SystemRandom().getrandbits(24):06x}"
ADDRESSES = random.SystemRandom().getrandbits(17)  # where this process begins in 198.18.0.0/15 (RFC 2544)

STATUS = re.compile(rb'"status":"[a-z]+"')

users = itertools.count()
runs = itertools.count()


def is_open(_pool: ConnectionPool, connection: Any) -> bool:
    """Whether a kept connection may be used again.

    In place of geventhttpclient's own look, which goes through select(2): that knows no descriptor from 1,024 on, so
    every later user was taken to have lost its connection and made a new one for each request. A connection that the
    service has closed is found out by using it, and is then a failure, as it should be.
    """
    return connection is not None and connection.fileno() >= 0


ConnectionPool._is_socket_alive = is_open

# Thousands of users are many objects that stay. Looking at them at the usual pace was a quarter of the generator's
# CPU time (198 us a request with 5,000 users, 148 us this way).
gc.set_threshold(200_000, 50, 50)


def new_run() -> str:
    """A run that was not requested before."""
    return f"{TAG}-{next(runs)}"


def address(index: int) -> str:
    host = (ADDRESSES + index) % (1 << 17)
    return f"198.{18 + (host >> 16)}.{host >> 8 & 255}.{host & 255}"


def batch_of(rows: Sequence[str]) -> bytes:
    return json.dumps({"environments": [{"name": run, "prefix": "player", "run": run} for run in rows]}).encode()


class ServiceUser(FastHttpUser):
    """A client with an address and an identity of its own."""

    abstract = True
    network_timeout = connection_timeout = 10.0
    period = PERIOD
    prefix = "player"
    extra: Mapping[str, str] = {}

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # The service sets none: nothing is to be looked for in each answer.
        self.client.client.cookiejar = None
        self.run_name = new_run()
        self.turn = next(users)  # so that not all of them do the rare thing at once
        forwarded = self.forwarded_for(self.turn)
        self.headers = {"X-Forwarded-For": forwarded, "Accept-Encoding": "identity", **self.extra}
        self.json_headers = {**self.headers, "Content-Type": "application/json"}
        self.target = self.target_of(self.run_name)
        self.body = b""

    def on_start(self) -> None:
        # Many users are spawned at a time; without this they would always send requests at the same moments.
        time.sleep(random.random() * min(self.period, SPREAD))  # gevent's sleep: Locust has replaced it

    def forwarded_for(self, index: int) -> str:
        return address(index)

    def target_of(self, run: str) -> str:
        return f"/api/v1/id?prefix={self.prefix}&run={run}"

    def get_id(self, target: str, name: str = "id") -> Any:
        response = self.client.get(target, headers=self.headers, name=name)
        self.check(name, response, b'"expires"')
        return response

    def validate(self, body: bytes, expected: bytes, name: str = "validate") -> None:
        response = self.client.post("/api/v1/validate", data=body, headers=self.json_headers, name=name)
        self.check(name, response, expected)

    def check(self, name: str, response: Any, expected: bytes) -> None:
        """A 2xx with the wrong content is one more failure; any other status has been counted already."""
        if response.status_code == 200 and expected not in response.content:
            status = STATUS.search(response.content)  # of a validation: few words, so that few kinds are counted
            self.report(name, f"no {expected!r} in the answer" + (f" but {status[0]!r}" if status else ""))

    def report(self, name: str, fault: str) -> None:
        self.environment.events.request.fire(
            request_type="wrong",
            name=name,
            response_time=0,
            response_length=0,
            exception=AssertionError(fault),
            context={},
        )

    def issue(self) -> str:
        """Get the user's own identity; "" when that failed, which has been counted."""
        response = self.get_id(self.target)
        return str(json.loads(response.content)["id"]) if response.status_code == 200 else ""


class IdUser(ServiceUser):
    """The sports-book's backend for one player: the same identity again and again, at times a new one."""

    weight = RATES["id"]
    wait_time = constant_pacing(PERIOD)

    @task
    def get(self) -> None:
        self.turn += 1
        self.get_id(self.target if self.turn % NEW_ID_EVERY else self.target_of(new_run()))


class BatchUser(ServiceUser):
    """Ten identities in one request."""

    weight = RATES["batch"]
    wait_time = constant_pacing(PERIOD)

    def on_start(self) -> None:
        super().on_start()
        self.rows = [new_run() for _ in range(ROWS)]
        self.body = batch_of(self.rows)

    @task
    def post(self) -> None:
        self.turn += 1
        body = self.body if self.turn % NEW_ROW_EVERY else batch_of([*self.rows[1:], new_run()])
        response = self.client.post("/api/v1/identities", data=body, headers=self.json_headers, name="batch")
        self.check("batch", response, b'"total":%d' % ROWS)


class ValidateUser(ServiceUser):
    """Validates an identity; sometimes one that was never issued."""

    weight = RATES["validate"]
    wait_time = constant_pacing(PERIOD)

    def on_start(self) -> None:
        super().on_start()
        identity = self.issue()
        self.body = json.dumps({"identity": identity}).encode()

    @task
    def post(self) -> None:
        self.turn += 1
        if self.turn % STRANGER_EVERY:
            self.validate(self.body, b'"valid":true')
        else:
            stranger = self.body.replace(self.run_name.encode(), b"nobody-" + new_run().encode())
            self.validate(stranger, b'"status":"unknown"')


class BotUser(ServiceUser):
    """A user of the Telegram bot: a command, an identity. All of them come from the bot's few addresses."""

    weight = sum(RATES.values()) * BOTS / (1 - BOTS - BROWSERS)
    period = BOT_PERIOD
    wait_time = constant_pacing(BOT_PERIOD)
    prefix = "tg"
    extra = BOT_HEADERS

    def forwarded_for(self, index: int) -> str:
        return f"203.0.113.{1 + index % 4}"

    @task
    def bet(self) -> None:
        self.get_id(self.target, "id (bot)")


class BrowserUser(ServiceUser):
    """The web front end on another origin, as a browser runs it.

    The hook's GET is a simple request and needs no preflight; the JSON of a validation does, once a session (its
    response may be cached for a day). A page sends one request, however often it renders, until STALE_TIME has passed.
    """

    weight = sum(RATES.values()) * BROWSERS / (1 - BOTS - BROWSERS)
    period = VISIT_PERIOD
    wait_time = constant_pacing(VISIT_PERIOD)
    prefix = "web"
    extra = BROWSER_HEADERS

    def on_start(self) -> None:
        super().on_start()
        headers = {
            **self.headers,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        response = self.client.options("/api/v1/validate", headers=headers, name="preflight (browser)")
        self.check_cors("preflight (browser)", response)

    @task
    def visit(self) -> None:
        fetched = -STALE_TIME  # a new page remembers nothing
        identity = ""
        for _ in range(RENDERS):
            now = time.monotonic()
            if now - fetched >= STALE_TIME:
                response = self.get_id(self.target, "id (browser)")
                self.check_cors("id (browser)", response)
                if response.status_code != 200:
                    return
                identity, fetched = json.loads(response.content)["id"], now
        self.validate(json.dumps({"identity": identity}).encode(), b'"valid":true', "validate (browser)")

    def check_cors(self, name: str, response: Any) -> None:
        """What a browser would refuse to show to the script. No answer at all has been counted already."""
        allowed = response.headers.get("Access-Control-Allow-Origin") if response.status_code else ORIGIN
        if allowed not in (ORIGIN, "*"):
            self.report(name, f"Access-Control-Allow-Origin is {allowed!r}")


Points = Sequence[tuple[float, float]]

# Points (share of the time, share of the users), joined by straight lines; two at one time are a jump.
SHAPES: Mapping[str, Points] = {
    "steady": ((0, 0), (0.3, 1), (1, 1)),
    "ramp": ((0, 0), (1, 1)),
    "step": (*((edge / 5, (edge + side) / 5) for edge in range(5) for side in (0, 1)), (1, 1)),
    "spike": ((0, 0), (0.2, 0.3), (0.4, 0.3), (0.4, 1), (0.6, 1), (0.6, 0.3), (1, 0.3)),
    "soak": ((0, 0), (0.02, 1), (1, 1)),
}
HOLDING = ("steady", "soak")  # the shapes that reach the rates and stay there, so that rates can be judged


def users_at(points: Points, share: float) -> float | None:
    """The share of the users at a share of the time; None when the shape is over."""
    if share >= points[-1][0]:
        return None
    for (start, low), (end, high) in itertools.pairwise(points):
        if start <= share < end:
            return low + (high - low) * (share - start) / (end - start)
    raise ValueError(f"a shape begins at 0: {points}")


class Shape(LoadTestShape):
    """The chosen row of SHAPES over SECONDS."""

    full_since = 0.0  # time.time() when all users were there for the first time
    lookups_then: "Lookups | None" = None

    def tick(self) -> tuple[int, float] | None:
        share = users_at(SHAPES[SHAPE], self.get_run_time() / SECONDS)
        if share is None:
            return None
        if share >= 1 and not Shape.full_since and self.get_current_user_count() >= USERS:
            Shape.full_since = time.time()
            Shape.lookups_then = read_lookups(self.runner.environment.host) if self.runner else None
        # As fast as it goes: the slope is the shape's.
        return max(1, round(USERS * share)), float(USERS)


EDGE = 3  # seconds left out at both ends: users settle, and a worker's report is up to three seconds old
EXIT_FAILED = 1
EXIT_LOAD_BOUND = 3  # rates are missing or late, and the generator had no CPU left: says nothing about the service


def reached(per_second: Sequence[Mapping[int, int]], since: float, until: float) -> float:
    """Requests per second within the whole seconds [since, until], from {second: requests} of each entry."""
    seconds = range(int(since), int(until))
    total = sum(counts.get(second, 0) for counts in per_second for second in seconds)
    return total / len(seconds) if seconds else 0.0


class Lookups(NamedTuple):
    """The service's own counts, of the replica that answered."""

    started: float  # distinguishes replicas
    hits: float
    lookups: float


def read_lookups(host: str | None) -> Lookups | None:
    """None if the service can't be reached."""
    try:
        with urllib.request.urlopen(f"{host}/api/metrics", timeout=5) as answer:
            pairs = (line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[:1] != "#")
            found = dict(pairs)
    except OSError:
        return None
    names = ("process_start_time_seconds", "identity_lookup_hits_total", "identity_lookups_total")
    return Lookups(*(float(found.get(name, 0)) for name in names))


def hit_ratio(before: Lookups | None, after: Lookups | None) -> float:
    """Hits over look-ups in between; over all time where another replica answers now; 0 where none does."""
    if after is None:
        return 0.0
    if before is None or before.started != after.started:
        before = Lookups(after.started, 0, 0)
    lookups = after.lookups - before.lookups
    return (after.hits - before.hits) / lookups if lookups else 0.0


def verdict(environment: Environment) -> list[tuple[str, float, str, bool]]:
    """Rows of (what, measured, threshold, whether it holds)."""
    stats = environment.stats
    rows = []
    if SHAPE in HOLDING:
        since, until = Shape.full_since + EDGE, (stats.last_request_timestamp or 0.0) - EDGE
        for kind, least in RATES.items():
            entries = [entry.num_reqs_per_sec for (name, _), entry in stats.entries.items() if name.startswith(kind)]
            rate = reached(entries, since, until) if Shape.full_since else 0.0
            rows.append((f"{kind} per second", rate, f">= {least:g}", rate >= least))
        ratio = hit_ratio(Shape.lookups_then, read_lookups(environment.host))
        rows.append(("cache hit ratio", ratio, f">= {HIT_RATIO:g}", ratio >= HIT_RATIO))
    p99 = stats.total.get_response_time_percentile(0.99)
    rows.append(("p99 as Locust saw it, ms", p99, f"< {P99_MS:g}", p99 < P99_MS))
    failures = stats.total.num_failures
    rows.append(("failures", failures, "0", failures == 0 and stats.total.num_requests > 0))
    return rows


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Print the verdict and set the exit code, where the users were counted."""
    runner = environment.runner
    if not JUDGE or runner is None or isinstance(runner, WorkerRunner):
        return
    rows = verdict(environment)
    for what, measured, threshold, holds in rows:
        log.info("%-26s %10.3f  %-8s  %s", what, measured, threshold, "holds" if holds else "DOES NOT HOLD")
    broken = [what for what, _, _, holds in rows if not holds]
    saturated = runner.cpu_warning_emitted or runner.worker_cpu_warning_emitted
    generators = [what for what in broken if "per second" in what or "p99" in what]
    if broken and broken == generators and saturated:
        log.warning("load-bound: the generator had no CPU left; add workers")
        environment.process_exit_code = EXIT_LOAD_BOUND
    else:
        environment.process_exit_code = EXIT_FAILED if broken else 0
