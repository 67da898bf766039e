"""Prometheus and Alertmanager as Debian has them, on free ports of 127.0.0.1, each in a directory of its own.

No pytest in here. Both are queried over their HTTP interfaces.
"""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.service import free_port

START_TIMEOUT = 20.0  # seconds
PATIENCE = 90.0  # seconds until what is waited for fails a test; a busy machine scrapes late
PAUSE = 0.1  # seconds between looks: nothing announces what is in a database


class Daemon:
    """Started by ``with``, and ready then. ``command`` lacks the address to listen on."""

    def __init__(self, directory: Path, *command: str) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        binary = shutil.which(command[0])
        if binary is None:
            raise RuntimeError(f"{command[0]} is not there: scripts/install-deploy-tools.sh installs it.")
        self._command = [binary, *command[1:], f"--web.listen-address={self.url.removeprefix('http://')}"]
        self._log = directory / f"{command[0]}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        try:
            wait_for(self._ready, "it does not start", START_TIMEOUT)
        except AssertionError:
            self.__exit__(None, None, None)
            raise RuntimeError(f"{self._command[0]} does not start: {self.last_words}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()  # nothing of it is kept
        self._process.wait()

    @property
    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def get(self, path: str, **parameters: str) -> Any:
        """Return the answer's JSON."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(self.url + path + query, timeout=10) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: Any) -> None:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        urllib.request.urlopen(request, timeout=10).close()

    def _ready(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()
        except OSError:
            assert self._process is not None
            assert self._process.poll() is None, "it has ended"
            return False
        return True


class Prometheus(Daemon):
    """Reads ``configuration`` (YAML, or JSON, which is YAML) and keeps its data in ``directory``."""

    def __init__(self, directory: Path, configuration: str) -> None:
        file = directory / "prometheus.yml"
        file.write_text(configuration)
        super().__init__(directory, "prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}")

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the samples of an instant vector, labels and value; AssertionError for a bad expression."""
        try:
            answer = self.get("/api/v1/query", query=expression)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        result: list[dict[str, Any]] = answer["data"]["result"]
        return [(each["metric"], float(each["value"][1])) for each in result]

    def value(self, expression: str) -> float | None:
        """Return the only sample's value; None where there is none."""
        samples = self.query(expression)
        assert len(samples) <= 1, expression
        return samples[0][1] if samples else None

    def names(self) -> list[str]:
        """Return the names of all metrics that were ever seen."""
        told: list[str] = self.get("/api/v1/label/__name__/values")["data"]
        return told

    def alerts(self) -> dict[str, dict[str, Any]]:
        """Return the alerts that fire, by name; of several of one name, one."""
        told: list[dict[str, Any]] = self.get("/api/v1/alerts")["data"]["alerts"]
        return {each["labels"]["alertname"]: each for each in told if each["state"] == "firing"}


class Alertmanager(Daemon):
    def __init__(self, directory: Path, configuration: Path) -> None:
        super().__init__(
            directory,
            "prometheus-alertmanager",
            f"--config.file={configuration}",
            f"--storage.path={directory / 'alertmanager'}",
            "--cluster.listen-address=",
        )


def wait_for(holds: Callable[[], object], why: str, patience: float = PATIENCE) -> None:
    """Return once ``holds()`` is true; AssertionError with ``why`` after the deadline."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, why
        time.sleep(PAUSE)
