"""A stand-in for ``docker`` on the PATH: a fake of the few commands of the bootstrap script, without containers.

``compose up`` really starts what the stack is: the Redis by ``deploy/redis/run.sh`` and the service, both on
127.0.0.1 with what ``.env`` says, and comes back without waiting for them, as Docker does. Unreal: it builds and
pulls nothing, and ignores docker-compose.yml. DOCKER_FAULT makes one command fail. Each call is a line of ``calls``
beside this program's link, each started process one of ``pids``: the test ends them.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.service import PROGRAM, free_port

BESIDE = Path(os.environ["DOCKER_STATE"])


def main(arguments: list[str]) -> int:
    call = " ".join(arguments)
    with (BESIDE / "calls").open("a") as calls:
        print(call, file=calls)
    if os.environ.get("DOCKER_FAULT") == call:
        print(f"stand-in: {call} fails", file=sys.stderr)
        return 1
    if call == "compose up -d":
        up()
    elif call == "compose ps --quiet identity-service":
        print("up" if (BESIDE / "pids").exists() else "", end="")
    elif call.startswith("compose logs"):
        print((BESIDE / "log").read_text() if (BESIDE / "log").exists() else "")
    return 0


def up() -> None:
    if (BESIDE / "pids").exists():
        return
    lines = [line for line in Path(".env").read_text().splitlines() if line and not line.startswith("#")]
    env = dict(line.split("=", 1) for line in lines)
    if "DOCKER_LOSES_REDIS" not in os.environ:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(BESIDE), "--save", ""]
        start(["sh", "deploy/redis/run.sh", "server", *options], {"REDIS_URL": env["REDIS_URL"]})
        env["REDIS_URL"] = env["REDIS_URL"].replace("redis:6379", f"127.0.0.1:{port}")
    start([*PROGRAM, "serve"], {"HOST": "127.0.0.1", "DRAIN_DELAY": "0", **env})


def start(command: list[str], env: dict[str, str]) -> None:
    with (BESIDE / "log").open("a") as log, (BESIDE / "pids").open("a") as pids:
        process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], **env, "DATABASE_URL": f"sqlite:///{BESIDE}/identity.db"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        print(process.pid, file=pids)
        process.returncode = 0  # it lives on without this process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
