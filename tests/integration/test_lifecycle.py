"""Starting, stopping, replacing workers and refusing to start."""

import asyncio
import os
import pty
import select
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from tests.support.certificates import Pair, good_pair
from tests.support.http_client import Client, clients, request, samples
from tests.support.loops import run, until
from tests.support.redis_server import RedisServer
from tests.support.service import PROGRAM, REPLICA, ServiceProcess, command, environment, free_port

pytestmark = pytest.mark.integration

ID = request("GET", "/api/v1/id?prefix=player&run=1")
READY = request("GET", "/api/health/ready")
HEALTH = request("GET", "/api/health")
METRICS = request("GET", "/api/metrics")
NO_LIMIT = {"RATE_LIMIT_REQUESTS": "0", "ACCESS_LOG": "off"}


# Stopping.


def test_requests_that_wait_at_sigterm_are_answered_in_order_and_the_last_one_closes(own_redis: RedisServer) -> None:
    requests = 20

    async def scenario(service: ServiceProcess) -> None:
        async with clients(service.port, 1) as (client,):
            assert (await client.ask(ID)).status == 200
            own_redis.pause()  # so that the limiter keeps them waiting
            client.send(b"".join(request("GET", f"/api/v1/id?prefix=p&run={run_}") for run_ in range(requests)))
            await client.flushed()
            service.send_signal(signal.SIGTERM)
            service.wait_for_log("draining")
            own_redis.resume()
            answers = [await client.answer() for _ in range(requests)]
            assert await client.ended() == b""
        assert [answer.status for answer in answers] == [200] * requests
        assert [answer.json["metadata"]["run"] for answer in answers] == [str(run_) for run_ in range(requests)]
        assert [answer.closes for answer in answers] == [False] * (requests - 1) + [True]

    with ServiceProcess(REDIS_URL=own_redis.url, REDIS_TIMEOUT_MS="5000") as service:
        run(scenario(service))
        assert service.wait() == 0


def test_sigterm_turns_ready_off_at_once_while_the_service_goes_on_for_drain_delay() -> None:
    async def scenario(service: ServiceProcess) -> None:
        async with clients(service.port, 3) as (probe, user, idle):
            assert (await probe.ask(READY)).status == 200
            service.send_signal(signal.SIGTERM)
            service.wait_for_log("draining")
            not_ready = await probe.ask(READY)
            assert (not_ready.status, not_ready.json["status"], not_ready.closes) == (503, "draining", True)
            answer = await user.ask(ID)
            assert (answer.status, answer.closes) == (200, True)
            async with clients(service.port, 1) as (late,):
                unhealthy = await late.ask(HEALTH)
                assert (unhealthy.status, unhealthy.json["status"]) == (503, "unhealthy")
            async with clients(service.port, 1) as (later,):
                assert (await later.get("/api/health/live")).status == 200
            service.send_signal(signal.SIGTERM)  # a second one ends the delay
            assert await idle.ended() == b""

    with ServiceProcess(DRAIN_DELAY="60") as service:
        run(scenario(service))
        assert service.wait(10) == 0


def test_connections_that_the_kernel_had_accepted_are_served_after_the_stop() -> None:
    async def scenario(service: ServiceProcess) -> None:
        service.pause()
        async with clients(service.port, 10) as opened:  # the kernel's backlog takes them
            for client in opened:
                client.send(ID)
                await client.flushed()
            service.send_signal(signal.SIGTERM)
            service.resume()
            assert [(await client.answer()).status for client in opened] == [200] * 10
            assert [await client.ended() for client in opened] == [b""] * 10

    with ServiceProcess() as service:
        run(scenario(service))
        assert service.wait() == 0


def test_a_peer_that_is_stuck_is_cut_off_at_drain_seconds_and_is_no_failure() -> None:
    async def scenario(service: ServiceProcess) -> float:
        async with clients(service.port, 1) as (stuck,):
            stuck.send(ID[:-2])  # the end of the head never comes
            await stuck.flushed()
            begun = monotonic()
            service.send_signal(signal.SIGTERM)
            assert await stuck.ended() == b""
            return monotonic() - begun

    with ServiceProcess(DRAIN_SECONDS="1") as service:
        seconds = run(scenario(service))
        assert service.wait() == 0
        assert 0.9 <= seconds < 3.0
        print(f"cut off {seconds:.1f} s after SIGTERM, exit 0")
        assert "cut off" in service.stderr


def test_ctrl_c_stops_as_sigterm_does() -> None:
    with ServiceProcess() as service:
        service.send_signal(signal.SIGINT)
        assert service.wait() == 0


# Several workers.

LOADING = 8  # clients


@pytest.fixture
def workers(redis: RedisServer) -> Iterator[ServiceProcess]:
    with ServiceProcess(**NO_LIMIT, WORKERS="2", REDIS_URL=redis.url) as service:
        yield service


def test_a_killed_worker_is_replaced_while_the_service_answers_and_the_sums_do_not_go_back(
    workers: ServiceProcess,
) -> None:
    issued = 'identity_requests_total{method="GET",status="200"}'

    async def scrape(wanted: int) -> float:
        """Scrape both workers, by new connections until as many have answered."""
        sums, last, alive = 0, 0.0, 0.0
        while sums < wanted or alive != 2:
            async with clients(workers.port, 1) as (client,):
                found = samples((await client.ask(METRICS)).text)
            assert found[issued] >= last, "a sum over workers went back"
            last, alive, sums = found[issued], found["identity_workers"], sums + 1
        return last

    async def load(state: dict[str, int], answered: Counter[int]) -> None:
        """A client that reconnects when its worker is killed."""
        while not state["stopped"]:
            try:
                async with clients(workers.port, 1) as (client,):
                    while not state["stopped"]:
                        answered[(await client.ask(ID)).status] += 1
            except ConnectionError:
                state["cut"] += 1

    async def scenario() -> None:
        state, answered = {"stopped": 0, "cut": 0}, Counter[int]()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(LOADING):
                tasks.create_task(load(state, answered))
            await until(lambda: answered[200] > 300)
            before = await scrape(10)
            victims = workers.worker_pids
            os.kill(victims[1], signal.SIGKILL)
            await asyncio.to_thread(workers.wait_for_log, "serving on", 3)
            after = await scrape(20)
            state["stopped"] = 1
        print(f"{answered[200]:,} answers, {state['cut']} of {LOADING} connections cut, the sums went on")
        assert set(answered) == {200}
        assert state["cut"] <= LOADING
        assert after >= before
        survivors = workers.worker_pids
        assert survivors[0] == victims[0]
        assert survivors[1] != victims[1]

    run(scenario(), deadline=20)
    assert workers.running


def test_sigterm_of_the_supervisor_stops_all_workers_and_frees_the_port(workers: ServiceProcess) -> None:
    port, pids = workers.port, workers.serving_pids
    assert workers.stop() == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_workers_leave_when_their_supervisor_is_killed(workers: ServiceProcess) -> None:
    descriptors = [os.pidfd_open(pid) for pid in workers.serving_pids]
    workers.kill()  # and waits for the end of the log, which they hold
    for descriptor in descriptors:
        ended, _, _ = select.select([descriptor], [], [], 10.0)  # readable once its process has ended
        os.close(descriptor)
        assert ended


# TLS.


@pytest.mark.parametrize("count", [1, 2], ids=["one worker", "two workers"])
def test_a_renewed_certificate_is_used_for_new_connections(redis: RedisServer, tmp_path: Path, count: int) -> None:
    async def serial(port: int) -> bytes:
        async with await Client.open(port, tls=pair.trusting) as client:
            answer = await client.ask(ID)
            assert answer.status == 200
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            return client.peer_certificate()

    async def scenario(service: ServiceProcess) -> None:
        before = await serial(service.port)
        async with await Client.open(service.port, tls=pair.trusting) as old:
            good_pair(tmp_path)
            service.send_signal(signal.SIGHUP)
            service.wait_for_log("certificate has been read again", count)
            # New connections of either worker: a few, for the kernel deals them out.
            assert before not in [await serial(service.port) for _ in range(4)]
            assert (await old.ask(ID)).status == 200
            pair.key.write_text("no key")
            service.send_signal(signal.SIGHUP)
            service.wait_for_log("old one stays", count)
            assert (await serial(service.port)) != before

    pair = good_pair(tmp_path)
    with ServiceProcess(**pair.variables, REDIS_URL=redis.url, WORKERS=str(count)) as service:
        run(scenario(service))


@pytest.mark.parametrize("count", [1, 2], ids=["one worker", "two workers"])
def test_an_encrypted_key_is_refused_at_the_start_and_left_alone_at_a_reload(
    redis: RedisServer, tmp_path: Path, count: int
) -> None:
    """On a terminal, where OpenSSL would ask for the password and wait."""

    async def answers(pair: Pair) -> None:
        async with await Client.open(service.port, tls=pair.trusting) as client:
            assert (await client.ask(ID)).status == 200

    plain, encrypted = good_pair(tmp_path / "a"), good_pair(tmp_path / "b", password="hunter22")
    variables = {**REPLICA, "REDIS_URL": redis.url, "WORKERS": str(count)}
    done = on_a_terminal({**variables, **encrypted.variables, "PORT": str(free_port())})
    assert done[0] == 78
    assert done[1].splitlines() == [
        "TLS_KEY_FILE is encrypted: TLS_KEY_PASSWORD_FILE must name the file that has its password."
    ]
    with ServiceProcess(**variables, **plain.variables) as service:
        trusted = plain.certificate.read_bytes()
        plain.certificate.write_bytes(encrypted.certificate.read_bytes())
        plain.key.write_bytes(encrypted.key.read_bytes())
        service.send_signal(signal.SIGHUP)
        service.wait_for_log("the old one stays: TLS_KEY_FILE is encrypted", count)
        plain.certificate.write_bytes(trusted)
        run(answers(plain))
    password = tmp_path / "password"
    password.write_text("hunter22\n")
    with ServiceProcess(
        **variables, **encrypted.variables, TLS_KEY_PASSWORD_FILE=str(password), LOG_LEVEL="debug"
    ) as service:
        run(answers(encrypted))
        service.send_signal(signal.SIGHUP)
        service.wait_for_log("certificate has been read again", count)
        run(answers(encrypted))
        assert "hunter22" not in service.stderr


def on_a_terminal(env: dict[str, str]) -> tuple[int, str]:
    """Start the service with a terminal of its own; its exit status and what it wrote to stderr."""
    leader, follower = pty.openpty()
    try:
        with subprocess.Popen(
            [*PROGRAM, "serve"], env=environment(**env), stdin=follower, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            try:
                _, errors = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            return process.returncode, errors.decode()
    finally:
        os.close(leader)
        os.close(follower)


def test_bytes_that_are_no_tls_do_not_disturb_tls_connections(tmp_path: Path) -> None:
    async def scenario(service: ServiceProcess) -> None:
        async with clients(service.port, 1) as (plain,):
            plain.send(ID)
            assert b"HTTP" not in await plain.ended()
        async with await Client.open(service.port, tls=pair.trusting) as client:
            assert (await client.ask(HEALTH)).json["status"] == "healthy"

    pair = good_pair(tmp_path)
    with ServiceProcess(**pair.variables) as service:
        run(scenario(service))


# Refusing to start.


@pytest.mark.parametrize("count", [1, 2], ids=["one worker", "two workers"])
def test_a_port_in_use_is_reported_in_one_sentence(redis: RedisServer, count: int) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = command("serve", env={"PORT": port, "WORKERS": str(count), "REDIS_URL": redis.url})
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if "already in use" in line]
    assert len(told) == 1
    assert f"127.0.0.1 port {port}" in told[0]


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"PORT": "0x50"}, ["PORT"]),
        ({"REDIS_URL": "http://redis"}, ["REDIS_URL"]),
        ({"WORKERS": "2"}, ["WORKERS"]),
        ({"RATE_LIMIT_REQUESTS": "-1", "CORS_ORIGIN": "https://a/"}, ["RATE_LIMIT_REQUESTS", "CORS_ORIGIN"]),
        ({"TLS_CERT_FILE": "/nonexistent", "TLS_KEY_FILE": "/nonexistent"}, ["TLS_CERT_FILE", "TLS_KEY_FILE"]),
        ({"NODE_ENV": "production"}, ["REDIS_URL", "CORS_ORIGIN", "API_BASE_URL", "JWT_SECRET"]),
    ],
    ids=",".join,
)
def test_a_wrong_configuration_is_refused_with_a_sentence_for_each_fault(env: dict[str, str], names: list[str]) -> None:
    done = command("serve", env={"PORT": str(free_port()), **env})
    assert done.returncode == 78
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(names)
    assert all(line.endswith(".") for line in lines)


def test_production_with_what_it_needs_serves(redis: RedisServer) -> None:
    env = {
        "NODE_ENV": "production",
        "REDIS_URL": redis.url,
        "JWT_SECRET": "0123456789-abcdefghij-ABCDEFGHIJ-secret",
        "API_BASE_URL": "https://identity.api.yourbook.com",
        "CORS_ORIGIN": "https://sports.yourbook.com",
    }

    async def scenario(service: ServiceProcess) -> None:
        async with clients(service.port, 1) as (client,):
            health = await client.ask(HEALTH)
            assert (health.status, health.json["services"]["redis"]) == (200, "healthy")
            assert (await client.ask(ID)).status == 200

    with ServiceProcess(**env) as service:
        run(scenario(service))
        assert env["JWT_SECRET"] not in service.stderr
        assert '"message":"serving on' in service.stderr, "production logs ECS"


def test_a_request_to_a_stopped_service_is_refused_by_the_kernel() -> None:
    with ServiceProcess() as service:
        assert service.stop() == 0

        async def scenario() -> None:
            with pytest.raises(ConnectionRefusedError):
                await Client.open(service.port)

        run(scenario())
