"""The client's side: wrk for load, plain sockets for single questions. All of it talks to 127.0.0.1 alone."""

import http.client
import json
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import BenchError
from bench.processes import LOAD_CORE
from bench.workloads import IDENTITIES, pair

CONNECTIONS = 64
EXCHANGE_SECONDS = 5.0


@dataclass(frozen=True)
class Load:
    """What wrk counted. Latencies are those of a saturating closed loop: the queue is the generator's own."""

    requests: int
    duration_us: int
    p50_us: int
    p99_us: int


def parse_result(output: str, workload: str) -> Load:
    """Read the ``result`` line of our script. Raises BenchError for anything but clean 2xx answers."""
    for line in output.splitlines():
        if line.startswith("result "):
            counts: dict[str, int] = json.loads(line.removeprefix("result "))
            faults = {name: counts.pop(name) for name in ("not_2xx", "broken")}
            if any(faults.values()) or not counts["requests"]:
                raise BenchError(f"{workload}: {counts['requests']} answers, of these {faults}: no figure.")
            return Load(**counts)
    raise BenchError(f"{workload}: wrk gave no result; it said: {output.strip()[-400:]}")


def run_wrk(port: int, script: Path, seconds: int) -> Load:
    """Saturate the server for ``seconds`` from one pinned thread."""
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    command += ["-s", str(script), f"http://127.0.0.1:{port}/"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as wrk:
        try:
            output, _ = wrk.communicate(timeout=seconds + 20)
        except BaseException:
            wrk.kill()
            raise
    return parse_result(output, script.stem)


def exchange(port: int, request: bytes) -> bytes:
    """Send one request and return the very octets of the answer. Raises BenchError unless it is a 200."""
    with socket.create_connection(("127.0.0.1", port), EXCHANGE_SECONDS) as connection:
        connection.sendall(request)
        answer = b""
        while (missing := missing_octets(answer)) > 0:
            chunk = connection.recv(max(missing, 4096))
            if not chunk:
                raise BenchError(f"The server hung up within an answer: {answer[:200]!r}.")
            answer += chunk
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"Expected a 200, got {answer[:200]!r}.")
    return answer


def missing_octets(answer: bytes) -> int:
    """Octets of an answer with a Content-Length that are still to come; 1 while its head is incomplete."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return 1
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value) - len(body)
    raise BenchError(f"An answer without Content-Length: {answer[:200]!r}.")


def is_ready(port: int, path: str) -> bool:
    """True when ``path`` answers 200 now."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def seed(port: int) -> str:
    """Issue every identity that workloads take as existing; return what follows "prefix-run" in them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=EXCHANGE_SECONDS)
    identity = ""
    try:
        for index in range(IDENTITIES):
            prefix, run = pair(index)
            connection.request("GET", f"/api/v1/id?prefix={prefix}&run={run}")
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise BenchError(f"Seeding: expected a 200, got {response.status}: {body[:200]!r}.")
            document: dict[str, Any] = json.loads(body)
            identity = document["id"]
    finally:
        connection.close()
    return identity.removeprefix("-".join(pair(IDENTITIES - 1)))
