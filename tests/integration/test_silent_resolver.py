"""A worker whose resolver gets no answer still stops at once, and says why Redis can't be used.

The resolver is the C library's, in a network of its own where port 53 takes questions and answers none.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.service import REPLICA, environment

pytestmark = pytest.mark.integration

OWN_NETWORK = ("unshare", "--user", "--map-root-user", "--mount", "--net")
STOPS_WITHIN = 8.0  # seconds; the resolver gives up after 20
HOST = "redis.example"

ISOLATED = """
import fcntl, os, socket, struct, subprocess, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:
    fcntl.ioctl(any, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))
silent.set_inheritable(True)
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
os.execv(sys.executable, [sys.executable, "-m", "arsenal_fast", "serve"])
"""


def has_own_network() -> bool:
    try:
        return subprocess.run([*OWN_NETWORK, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not has_own_network(), reason="unshare may not make a network of its own here")
@pytest.mark.parametrize("scheme", ["redis", "redis+sentinel", "redis+cluster"])
def test_a_look_up_that_gets_no_answer_does_not_hold_up_the_end(scheme: str, tmp_path: Path) -> None:
    resolver, script = tmp_path / "resolv.conf", tmp_path / "isolated.py"
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:10 attempts:2\n")
    script.write_text(ISOLATED)
    url = f"{scheme}://{HOST}" + ("/main" if scheme == "redis+sentinel" else "")
    env = environment(**REPLICA, DRAIN_DELAY="0", REDIS_URL=url, PORT="8080")
    log = ""
    with subprocess.Popen(
        [*OWN_NETWORK, sys.executable, str(script), str(resolver)],
        env=env | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as service:
        assert service.stdout is not None
        try:
            for line in service.stdout:
                log += line
                if "no connection in time" in line or "no sentinel answers in time" in line:
                    break
            begun = time.monotonic()
            service.send_signal(signal.SIGTERM)
            assert service.wait(STOPS_WITHIN) == 0, log
        finally:
            service.kill()
    print(f"stopped after {time.monotonic() - begun:.2f} s")
    assert "unavailable" in log, log
