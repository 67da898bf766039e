"""Runs a load test: starts all programs, measures both sides while the users are connected, stops all programs.

The service, Redis and the prober have core 0, the users have core 1: a busy generator delays only itself.
"""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import BenchError, openloop
from bench.load import open_loop_command, parse_open_result, seed
from bench.processes import (
    LOAD_CORE,
    SERVER_CORE,
    CpuReading,
    last_words,
    read_core_us,
    read_cpu,
    read_rss,
    require_tools,
    spent,
    started,
)
from bench.rounds import redis_pid, running_redis, running_server
from bench.scripts import write_stream
from bench.servers import SERVICE, varied
from bench.workloads import Workload
from loadtest.exposition import Interval, Reading, parse
from loadtest.plan import LATE, SETTLE, Plan
from loadtest.verdict import Measured

LOCUSTFILE = Path(__file__).parent / "locustfile.py"
SAMPLE_SECONDS = 2.0  # from one reading to the next
LEAVING_SECONDS = 30.0  # for Locust to take its users away and write its report
ORIGIN = "https://sports.yourbook.com"
SERVER = replace(
    SERVICE,
    environment={
        **SERVICE.environment,
        "NODE_ENV": "production",
        "DRAIN_DELAY": "0",  # there is no balancer in front of it
        "API_BASE_URL": "https://identity.api.yourbook.com",
        "CORS_ORIGIN": ORIGIN,
        # On, and never reached: a user sends about 3,000 requests an hour.
        "RATE_LIMIT_REQUESTS": "1000000",
        "RATE_LIMIT_WINDOW": "3600",
    },
)
PROBED = ("cached-proxy", "batch-10", "validate")  # one request of each in turn


@dataclass(frozen=True)
class Sample:
    """One look at everything: the service's own figures and the CPU time of each program up to now."""

    reading: Reading
    cpu: Mapping[str, CpuReading]
    core_us: Mapping[int, float]  # busy microseconds of each core, ours or not


@dataclass
class History:
    """What a run leaves behind for the report; everything is counted between the samples ``first`` and ``last``."""

    samples: list[Sample] = field(default_factory=list)
    first: int = 0
    last: int = 0


def scrape(port: int) -> Reading:
    """Read /api/metrics. Raises BenchError where the service does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", "/api/metrics")
        return parse(connection.getresponse().read().decode(), time.monotonic())
    except (OSError, http.client.HTTPException) as fault:
        raise BenchError(f"The service does not answer /api/metrics: {fault!r}.") from fault
    finally:
        connection.close()


def locust_command(output: Path) -> list[str]:
    """Raises BenchError where Locust is not installed."""
    program = Path(sys.executable).with_name("locust")
    if not program.exists():
        raise BenchError("Locust is not installed: make loadtest does it, or pip install -e '.[loadtest]'.")
    report = ["--html", str(output / "locust.html"), "--json-file", str(output / "locust")]
    return [str(program), "-f", str(LOCUSTFILE), "--headless", *report]


def locust_environment(plan: Plan, port: int, token: str) -> dict[str, str]:
    """The variables of the locustfile; the verdict is ours and not its own."""
    rates = {f"LOADTEST_{kind.upper()}_RATE": repr(rate) for kind, rate in plan.rates.items()}
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


def service_token() -> str:
    """A token for the bots, minted as an operator does it."""
    words = ["token", "--subject", "telegram-bot", "--scope", "issue", "--rate-limit", "1000000", "--days", "1"]
    command = [sys.executable, "-m", "arsenal_fast", *words]
    secret = {"JWT_SECRET": SERVER.environment["JWT_SECRET"], "API_BASE_URL": SERVER.environment["API_BASE_URL"]}
    done = subprocess.run(command, env=secret, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"arsenal-fast token failed: {done.stderr.strip()}")
    return done.stdout.strip()


def probes(plan: Plan, port: int, suffix: str, directory: Path) -> openloop.Plan:
    """The prober sends one request of each kind in turn, from before until after the measured seconds, so that both
    readings of the number of connections include it.
    """
    kinds = [Workload.named(name).records(suffix) for name in PROBED]
    stream = write_stream("probes", [record for turn in zip(*kinds, strict=False) for record in turn], directory)
    return openloop.Plan(port, 1, plan.probes, plan.seconds + SETTLE / 2, [stream], warm=SETTLE)


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


class Observer:
    """Looks at the service and at ``pids`` (programs by name) every SAMPLE_SECONDS, for as long as Locust runs."""

    def __init__(self, port: int, pids: dict[str, int], locust: "subprocess.Popen[bytes]", log: Path) -> None:
        self.history = History()
        self.pids = pids
        self._port, self._locust, self._log = port, locust, log
        self._look()

    def _look(self) -> Reading:
        if self._locust.poll() is not None:
            raise BenchError(f"Locust has ended with {self._locust.returncode}.{last_words(self._log)}")
        cpu = {name: read_cpu(pid) for name, pid in self.pids.items()}
        cores = {core: read_core_us(core) for core in (SERVER_CORE, LOAD_CORE)}
        self.history.samples.append(Sample(scrape(self._port), cpu, cores))
        return self.history.samples[-1].reading

    def until(self, moment: float, over: Callable[[Reading], bool] = lambda _: False) -> Reading:
        """Look until the moment of time.monotonic(), or until a reading is the one that is waited for."""
        reading = self.history.samples[-1].reading
        while not over(reading) and (now := time.monotonic()) < moment:
            time.sleep(min(SAMPLE_SECONDS, moment - now))
            reading = self._look()
        return reading


def await_users(observer: Observer, plan: Plan) -> None:
    """Look until all users are connected, or are too late; the verdict has a row for those that are missing."""
    everybody = plan.users + 1  # the scrape's own connection
    limit = time.monotonic() + plan.ramp_seconds + LATE
    observer.until(limit, lambda reading: reading.plain.get("identity_connections_open", 0) >= everybody)


def count(observer: Observer, plan: Plan) -> None:
    """Look during the seconds that count, and mark their first and last sample."""
    history = observer.history
    begin = observer.until(time.monotonic() + SETTLE).at
    history.first = len(history.samples) - 1
    say(f"{plan.users} users are there; measuring for {plan.seconds:g} s")
    observer.until(begin + plan.seconds)
    history.last = len(history.samples) - 1


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
        redis_port = stack.enter_context(running_redis(directory, SERVER_CORE))
        server = varied(SERVER, DATABASE_URL=plan.database) if plan.database else SERVER
        service = stack.enter_context(running_server(server, directory, redis_port=redis_port, redis_db=0))
        probing = probes(plan, service.port, seed(service.port), directory)
        say(f"{plan.users} users come within {plan.ramp_seconds:.0f} s")
        log, words = plan.output / "locust.log", locust_environment(plan, service.port, service_token())
        locust = stack.enter_context(started(locust_command(plan.output), words, LOAD_CORE, log))
        pids = {"service": service.pid, "redis": redis_pid(redis_port), "locust": locust.pid}
        observer = Observer(service.port, pids, locust, log)
        await_users(observer, plan)
        probes_log = directory / "prober.log"
        prober = stack.enter_context(started(open_loop_command(probing), {}, SERVER_CORE, probes_log))
        observer.pids["prober"] = prober.pid
        count(observer, plan)
        end = time.time()
        memory = read_rss(service.pid), read_rss(pids["redis"])
        say("the users go")
        prober.wait(LEAVING_SECONDS)
        locust.wait(LEAVING_SECONDS)
        return judged(plan, observer.history, end, memory, probes_log.read_text(errors="replace")), observer.history


def judged(plan: Plan, history: History, end: float, memory: tuple[int, int], probes_said: str) -> Measured:
    """The figures between the first and the last counted sample; ``end``: time.time() of the last one."""
    first, last = history.samples[history.first], history.samples[history.last]
    interval = Interval(first.reading, last.reading)
    rates, failures, latencies, faults = read_locust(plan.output / "locust.json", end - interval.seconds, end)
    try:
        probe = parse_open_result(probes_said)
    except BenchError as fault:
        probe = None
        faults.append(f"prober: {fault}")
    cores = {name: spent(first.cpu[name], last.cpu[name]).microseconds / 1e6 / interval.seconds for name in first.cpu}
    busy = sum(last.core_us[core] - first.core_us[core] for core in first.core_us) / 1e6 / interval.seconds
    return Measured(
        interval=interval,
        locust=rates,
        locust_failures=failures,
        locust_latencies=latencies,
        probe=probe,
        cores=cores,
        server_bytes=memory[0],
        redis_bytes=memory[1],
        others=max(0.0, busy - sum(cores.values())),
        faults=faults,
    )
