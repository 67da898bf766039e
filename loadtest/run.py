"""Start everything, let the users come, read both sides while they are there, stop everything.

The service, Redis and the prober have core 0, the generators have core 1: a busy generator delays itself and nobody
else.
"""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import BenchError
from bench.load import is_ready
from bench.processes import (
    LOAD_CORE,
    SERVER_CORE,
    CpuReading,
    free_port,
    last_words,
    read_core_us,
    read_cpu,
    read_rss,
    redis_command,
    require_tools,
    spent,
    started,
    wait_until,
)
from bench.servers import SERVICE
from bench.workloads import IDENTITIES, pair
from loadtest import filler, prober
from loadtest.exposition import Interval, Reading, parse
from loadtest.plan import LATE, ROUTES, SETTLE, Plan
from loadtest.verdict import Measured

ROOT = Path(__file__).parent.parent
SAMPLE_SECONDS = 2.0  # from one reading to the next
SEED_ROWS = 1000  # the most that a batch may have
LEAVING_SECONDS = 30.0  # for Locust to take its users away and write its report
ORIGIN = "https://sports.yourbook.com"
SERVICE_ENVIRONMENT = {
    "NODE_ENV": "production",
    "DRAIN_DELAY": "0",  # nobody balances in front of it
    "API_BASE_URL": "https://identity.api.yourbook.com",
    "CORS_ORIGIN": ORIGIN,
    "JWT_SECRET": "the secret of the load test, 32 octets",
    "ACCESS_LOG": "errors",
    "MAX_CONNECTIONS": "10000",  # of 5,000 users
    # On, and never reached: a user asks some 3,000 times an hour, the prober 100,000 times.
    "RATE_LIMIT_REQUESTS": "1000000",
    "RATE_LIMIT_WINDOW": "3600",
}


@dataclass(frozen=True)
class Sample:
    """One look at everything: the service's own figures and everybody's CPU time up to now."""

    reading: Reading
    cpu: Mapping[str, CpuReading]
    core_us: Mapping[int, float]  # busy microseconds of each core, whoever had it


@dataclass
class History:
    """What a run leaves behind for the report."""

    samples: list[Sample] = field(default_factory=list)
    first: int = 0  # the samples between which everything is counted
    last: int = 0
    probes: Sequence[prober.Probe] = ()  # of the whole run


@dataclass(frozen=True)
class Fleet:
    """What runs: the service's port, and the pid of each program by its name."""

    port: int
    pids: dict[str, int]

    def look(self) -> Sample:
        cpu = {name: read_cpu(pid) for name, pid in self.pids.items()}
        return Sample(scrape(self.port), cpu, {core: read_core_us(core) for core in (SERVER_CORE, LOAD_CORE)})


def scrape(port: int) -> Reading:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", "/api/metrics")
        return parse(connection.getresponse().read().decode(), time.monotonic())
    except (OSError, http.client.HTTPException) as fault:
        raise BenchError(f"The service does not answer /api/metrics: {fault!r}.") from fault
    finally:
        connection.close()


def seed(port: int) -> str:
    """Issue the identities that the prober and wrk ask for, 1,000 at a time: each answer waits for the ledger's
    commit. Return what follows "prefix-run" in them.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    identity = ""
    try:
        for start in range(0, IDENTITIES, SEED_ROWS):
            pairs = [pair(index) for index in range(start, min(start + SEED_ROWS, IDENTITIES))]
            rows = [{"name": run, "prefix": prefix, "run": run} for prefix, run in pairs]
            connection.request(
                "POST", ROUTES["batch"], json.dumps({"environments": rows}), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise BenchError(f"Seeding: expected a 200, got {response.status}: {body[:200]!r}.")
            identity = json.loads(body)["identities"][-1]["id"]
    finally:
        connection.close()
    return identity.removeprefix("-".join(pair(IDENTITIES - 1)))


def locust_command(output: Path) -> list[str]:
    program = Path(sys.executable).with_name("locust")
    if not program.exists():
        raise BenchError("Locust is not installed: make loadtest does it, or pip install -e '.[loadtest]'.")
    report = ["--html", str(output / "locust.html"), "--json-file", str(output / "locust")]
    return [str(program), "-f", str(ROOT / "loadtest/locustfile.py"), "--headless", *report]


def locust_environment(plan: Plan, port: int, token: str) -> dict[str, str]:
    rates = {f"LOADTEST_{kind.upper()}_RATE": repr(rate) for kind, rate in plan.locust_rates.items()}
    return {
        "LOCUST_HOST": f"http://127.0.0.1:{port}",
        "LOADTEST_USERS": str(plan.users),
        "LOADTEST_SHAPE": "steady",
        "LOADTEST_SECONDS": repr(plan.shape_seconds),
        "LOADTEST_ORIGIN": ORIGIN,
        "LOADTEST_BOT_TOKEN": token,
        "LOADTEST_JUDGE": "0",
        **rates,
    }


def service_token(environment: Mapping[str, str]) -> str:
    """A token for the bots, minted as an operator does it."""
    words = ["token", "--subject", "telegram-bot", "--scope", "issue", "--rate-limit", "1000000", "--days", "1"]
    command = [sys.executable, "-m", "arsenal_fast", *words]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"arsenal-fast token failed: {done.stderr.strip()}")
    return done.stdout.strip()


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def service_and_redis(directory: Path) -> Iterator[tuple[Fleet, dict[str, str]]]:
    """Both ready to serve, with an empty Redis and an empty ledger; the service's environment comes along."""
    with ExitStack() as stack:
        redis_port, port = free_port(), free_port()
        log = directory / "redis.log"
        redis = stack.enter_context(started(redis_command(redis_port), {}, SERVER_CORE, log))
        wait_until(lambda: "Ready to accept" in log.read_text(errors="replace"), redis, log)
        command, environment = SERVICE.filled(port=port, redis_port=redis_port, redis_db=0)
        environment |= {**SERVICE_ENVIRONMENT, "DATABASE_URL": f"sqlite:///{directory}/identity.db"}
        log = directory / "service.log"
        service = stack.enter_context(started(command, environment, SERVER_CORE, log))
        wait_until(lambda: is_ready(port, SERVICE.ready), service, log)
        yield Fleet(port, {"service": service.pid, "redis": redis.pid}), environment


def watch(fleet: Fleet, plan: Plan, locust: "subprocess.Popen[bytes]", log: Path) -> History:
    """Look every SAMPLE_SECONDS: while the users come, while it counts; end just before they go."""
    history = History()

    def look_until(moment: float) -> None:
        while (now := time.monotonic()) < moment:
            time.sleep(min(SAMPLE_SECONDS, moment - now))
            if locust.poll() is not None:
                raise BenchError(f"Locust has ended with {locust.returncode}.{last_words(log)}")
            history.samples.append(fleet.look())

    history.samples.append(fleet.look())
    limit = time.monotonic() + plan.ramp_seconds + LATE
    while history.samples[-1].reading.plain.get("identity_connections_open", 0) < plan.users + plan.other_connections:
        if time.monotonic() > limit:
            break  # the verdict has a row for it
        look_until(time.monotonic() + SAMPLE_SECONDS)
    look_until(time.monotonic() + SETTLE)
    history.first = len(history.samples) - 1
    say(f"{plan.users} users are there; measuring for {plan.seconds:g} s")
    look_until(history.samples[-1].reading.at + plan.seconds)
    history.last = len(history.samples) - 1
    return history


def read_locust(path: Path, since: float, until: float) -> tuple[dict[str, float], int, dict[float, int], list[str]]:
    """Of Locust's statistics: requests per second by kind within the whole seconds [since, until) of time.time(), the
    failures of the whole run, {seconds: requests}, and where the failures were.
    """
    rates: dict[str, float] = {}
    latencies: dict[float, int] = {}
    failures, said = 0, []
    seconds = range(int(since) + 1, int(until))
    for entry in json.loads(path.read_text()):
        kind = entry["name"].split()[0]
        counts = entry["num_reqs_per_sec"]
        rates[kind] = rates.get(kind, 0.0) + sum(counts.get(str(second), 0) for second in seconds) / len(seconds)
        for milliseconds, count in entry["response_times"].items():
            latencies[float(milliseconds) / 1000] = latencies.get(float(milliseconds) / 1000, 0) + count
        if entry["num_failures"]:
            failures += entry["num_failures"]
            said.append(f"{entry['method']} {entry['name']}: {entry['num_failures']}")
    return rates, failures, dict(sorted(latencies.items())), said


def measure(plan: Plan) -> tuple[Measured, History]:
    """One whole run. Raises BenchError when it can't be carried out; a bad figure is no such thing."""
    require_tools()
    plan.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="loadtest-")))
        fleet, environment = stack.enter_context(service_and_redis(directory))
        suffix = seed(fleet.port)
        probes_log = directory / "prober.log"
        ask = [sys.executable, "-m", "loadtest.prober", str(fleet.port), repr(plan.probes), suffix]
        asker = stack.enter_context(started(ask, {"PYTHONPATH": str(ROOT)}, SERVER_CORE, probes_log))
        fleet.pids["prober"] = asker.pid

        say(f"{plan.users} users come within {plan.ramp_seconds:.0f} s")
        locust_log = plan.output / "locust.log"
        locust_words = locust_environment(plan, fleet.port, service_token(environment))
        users = stack.enter_context(started(locust_command(plan.output), locust_words, LOAD_CORE, locust_log))
        fleet.pids["locust"] = users.pid
        wrk_log = directory / "wrk.log"
        wrk = None
        if plan.wrk_share:
            script = filler.write_script(plan.wrk_rates, suffix, directory)
            command = filler.command(fleet.port, script, plan.shape_seconds)
            wrk = stack.enter_context(started(command, {}, LOAD_CORE, wrk_log))
            fleet.pids["wrk"] = wrk.pid

        history = watch(fleet, plan, users, locust_log)
        end = time.time()
        memory = read_rss(fleet.pids["service"]), read_rss(fleet.pids["redis"])
        say("the users go")
        for process in (users, *([wrk] if wrk else [])):
            process.wait(LEAVING_SECONDS)
        first, last = history.samples[history.first], history.samples[history.last]
        interval = Interval(first.reading, last.reading)
        history.probes = prober.parse(probes_log.open(), 0.0, last.reading.at)
        rates, failures, latencies, said = read_locust(plan.output / "locust.json", end - interval.seconds, end)
        wrk_rates, wrk_failures = filler.parse_result(wrk_log.read_text(errors="replace")) if wrk else ({}, 0)
        cores = {
            name: spent(first.cpu[name], last.cpu[name]).microseconds / 1e6 / interval.seconds for name in fleet.pids
        }
        busy = sum(last.core_us[core] - first.core_us[core] for core in first.core_us) / 1e6 / interval.seconds
        return (
            Measured(
                interval=interval,
                locust=rates,
                locust_failures=failures,
                wrk=wrk_rates,
                wrk_failures=wrk_failures,
                locust_latencies=latencies,
                probes=[probe for probe in history.probes if probe.due >= first.reading.at],
                cores=cores,
                server_bytes=memory[0],
                redis_bytes=memory[1],
                others=max(0.0, busy - sum(cores.values())),
                faults=said,
            ),
            history,
        )
