"""Load generators for 127.0.0.1: wrk and our open loop, and plain sockets for single requests."""

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import BenchError, openloop
from bench.openloop import Plan
from bench.processes import LOAD_CORE
from bench.workloads import IDENTITIES, pair

CONNECTIONS = 64
EXCHANGE_SECONDS = 5.0
MOST_ROWS = 1_000  # of a batch


@dataclass(frozen=True)
class Load:
    """What wrk counted. Latencies are those of a saturating closed loop: the queue is the generator's own."""

    requests: int
    duration_us: int
    quantiles_us: Mapping[float, int]  # percent -> latency


def result_of(output: str, who: str) -> dict[str, Any]:
    """The ``result`` line of a generator. Raises BenchError where there is none."""
    for line in output.splitlines():
        if line.startswith("result "):
            found: dict[str, Any] = json.loads(line.removeprefix("result "))
            return found
    raise BenchError(f"{who} gave no result; it said: {output.strip()[-400:]}")


def parse_result(output: str, workload: str) -> Load:
    """Read the ``result`` line of our script. Raises BenchError for anything but clean 2xx answers."""
    counts = result_of(output, f"{workload}: wrk")
    faults = {name: counts.pop(name) for name in ("not_2xx", "broken")}
    if any(faults.values()) or not counts["requests"]:
        raise BenchError(f"{workload}: {counts['requests']} answers, of these {faults}: no figure.")
    return Load(**{**counts, "quantiles_us": dict(counts["quantiles_us"])})


def run_generator(command: Sequence[str], seconds: float) -> str:
    """What a load generator says, pinned to the core for load; it is ended where it outlives its time by far."""
    pinned = ["taskset", "-c", str(LOAD_CORE), *command]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
    try:
        done = subprocess.run(pinned, text=True, check=False, timeout=seconds + 20, **options)
    except subprocess.TimeoutExpired as fault:
        raise BenchError(f"{command[0]} did not end within {fault.timeout:g} s.") from fault
    return str(done.stdout)


def run_wrk(port: int, script: Path, seconds: int, connections: int = CONNECTIONS, *, secure: bool = False) -> Load:
    """Saturate the server for ``seconds`` from one thread, over TLS where ``secure``."""
    url = f"http{'s' if secure else ''}://127.0.0.1:{port}/"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    return parse_result(run_generator(command, seconds), script.stem)


@dataclass(frozen=True)
class OpenLoad:
    """What the open-loop generator saw; quantiles are percent -> us, latencies from the moment of being due."""

    rate: float
    generator_cpu: float  # share of its core
    lag_us: Mapping[float, int]
    streams: Mapping[str, Mapping[float, int]]


def parse_open_result(output: str) -> OpenLoad:
    """Read the ``result`` line of openloop.py. Raises BenchError where there is none."""
    found = result_of(output, "The open-loop generator")
    streams = {name: by_percent(latencies) for name, latencies in found["streams"].items()}
    return OpenLoad(found["rate"], found["generator_cpu"], by_percent(found["lag_us"]), streams)


def by_percent(found: Mapping[str, int]) -> dict[float, int]:
    """JSON has only strings for keys."""
    return {float(percent): value for percent, value in found.items()}


def run_open_loop(plan: Plan) -> OpenLoad:
    """Offer the plan's rate from one pinned process. Raises BenchError unless every answer was a 200."""
    return parse_open_result(run_generator(open_loop_command(plan), plan.warm + plan.seconds))


def open_loop_command(plan: Plan) -> list[str]:
    """The command line of the open-loop generator."""
    return [sys.executable, openloop.__file__, json.dumps(asdict(plan))]


def exchange(port: int, request: bytes) -> bytes:
    """Send one request and return the very bytes of the answer. Raises BenchError unless it is a 200."""
    with socket.create_connection(("127.0.0.1", port), EXCHANGE_SECONDS) as connection:
        connection.sendall(request)
        answer = b""
        while (missing := missing_bytes(answer)) > 0:
            chunk = connection.recv(max(missing, 4096))
            if not chunk:
                raise BenchError(f"The server hung up within an answer: {answer[:200]!r}.")
            answer += chunk
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise BenchError(f"Expected a 200, got {answer[:200]!r}.")
    return answer


def missing_bytes(answer: bytes) -> int:
    """Bytes of an answer with a Content-Length that are still to come; 1 while its head is incomplete."""
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


def issue(port: int, pairs: Sequence[tuple[str, str]]) -> str:
    """Issue the identities of these (prefix, run) pairs; return the last one. Raises BenchError unless all are."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=EXCHANGE_SECONDS)) as connection:
        for start in range(0, len(pairs), MOST_ROWS):
            rows = [{"name": run, "prefix": prefix, "run": run} for prefix, run in pairs[start : start + MOST_ROWS]]
            body = json.dumps({"environments": rows}, separators=(",", ":"))
            connection.request("POST", "/api/v1/identities", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = response.read()
            if response.status != 200:
                raise BenchError(f"Issuing: expected a 200, got {response.status}: {said[:200]!r}.")
    return str(json.loads(said)["identities"][-1]["id"])


def seed(port: int) -> str:
    """Issue every identity that the workloads take as existing; return what follows "prefix-run" in them."""
    pairs = [pair(index) for index in range(IDENTITIES)]
    return issue(port, pairs).removeprefix("-".join(pairs[-1]))
