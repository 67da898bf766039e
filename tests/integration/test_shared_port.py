"""Two services never share a port: the second one refuses to start, with any number of workers."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.http_client import Client, request
from tests.support.loops import run
from tests.support.redis_server import RedisServer
from tests.support.service import PROGRAM, ServiceProcess, command, environment, free_port

pytestmark = pytest.mark.integration

LIVE = request("GET", "/api/health/live")


def refused(env: dict[str, str]) -> bool:
    """Whether a service that is started so refuses with the one sentence."""
    done = command("serve", env=env)
    told = [line for line in done.stderr.splitlines() if "already in use" in line]
    assert done.returncode in (0, 1)
    assert len(told) == done.returncode, done.stderr
    return done.returncode == 1


@pytest.mark.parametrize("second", ["1", "2"])
@pytest.mark.parametrize("first", ["1", "2"])
def test_the_second_service_is_refused(redis: RedisServer, first: str, second: str) -> None:
    with ServiceProcess(REDIS_URL=redis.url, WORKERS=first) as service:
        assert refused({"REDIS_URL": redis.url, "WORKERS": second, "PORT": str(service.port)})


OVERLAPPING = [
    ("127.0.0.1", "0.0.0.0"),
    ("0.0.0.0", "127.0.0.1"),
    ("127.0.0.1", "::"),
    ("::", "127.0.0.1"),
    ("localhost", "127.0.0.1"),
    ("::", "localhost"),
]


@pytest.mark.parametrize("hosts", OVERLAPPING)
def test_an_address_that_has_the_other_in_it_is_the_same(redis: RedisServer, hosts: tuple[str, str]) -> None:
    with ServiceProcess(REDIS_URL=redis.url, WORKERS="2", HOST=hosts[0]) as service:
        assert refused({"REDIS_URL": redis.url, "WORKERS": "2", "PORT": str(service.port), "HOST": hosts[1]})


def test_another_address_of_the_machine_is_another_one(redis: RedisServer) -> None:
    port = str(free_port())
    with (
        ServiceProcess(REDIS_URL=redis.url, WORKERS="2", PORT=port),
        ServiceProcess(REDIS_URL=redis.url, WORKERS="2", PORT=port, HOST="127.0.0.2"),
    ):
        pass


def test_of_services_that_start_at_the_same_moment_one_remains(redis: RedisServer) -> None:
    """They meet before any of them listens."""
    env = environment(REDIS_URL=redis.url, WORKERS="2", PORT=str(free_port()))
    started = [
        subprocess.Popen([*PROGRAM, "serve"], env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    try:
        waiting = {process.stderr: process for process in started if process.stderr is not None}
        logs = dict.fromkeys(waiting, b"")
        serving: set[object] = set()
        while len(waiting) > 1 or logs[next(iter(waiting))].count(b"serving on") < 2:
            ready, _, _ = select.select(list(waiting), [], [], 20)
            assert ready, logs
            for stream in ready:
                octets = os.read(stream.fileno(), 65536)
                logs[stream] += octets
                if not octets:
                    assert waiting.pop(stream).wait(10) == 1
                    assert logs[stream].count(b"already in use") == 1
                    assert b"serving on" not in logs[stream]
                elif b"serving on" in octets:
                    serving.add(stream)
        assert serving == set(waiting)
    finally:
        for process in started:
            process.terminate()
            assert process.wait(20) in (0, 1)
            assert process.stderr is not None
            process.stderr.close()


def test_a_worker_is_replaced_beside_the_others_and_a_restart_finds_the_port_free(redis: RedisServer) -> None:
    async def use() -> None:
        """Leave connections behind which the service has closed: they are in TIME_WAIT after it."""
        for _ in range(8):
            async with await Client.open(service.port) as client:
                client.send(request("GET", "/api/health/live", {"Connection": "close"}))
                assert b"200" in await client.ended()

    with ServiceProcess(REDIS_URL=redis.url, WORKERS="2") as service:
        for _ in range(3):
            run(use())
            for slot in range(2):
                before = service.worker_pids
                service.signal_worker(before[slot], signal.SIGKILL)
                service.wait_for_log("serving on", 3 + slot)
            assert refused({"REDIS_URL": redis.url, "WORKERS": "2", "PORT": str(service.port)})
            run(use())
            assert service.stop() == 0
            service.start()


def test_the_supervisor_holds_no_socket_that_could_accept(redis: RedisServer) -> None:
    with ServiceProcess(REDIS_URL=redis.url, WORKERS="2") as service:
        targets = {os.readlink(each) for each in Path(f"/proc/{service.pid}/fd").iterdir()}
        sockets = {target.removeprefix("socket:[").rstrip("]") for target in targets if target.startswith("socket:")}
        tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
        assert not sockets & {line.split()[9] for table in tables for line in table}
        assert len(sockets) == 1, "the reservation"
        for pid in service.serving_pids:
            held = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}
            assert not {f"socket:[{inode}]" for inode in sockets} & held, "a worker would hold it after the stop"
