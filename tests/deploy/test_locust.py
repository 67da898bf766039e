"""Locust as people know it: its own options and its web page, with our locustfile against a running service."""

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.service import LogReader, ServiceProcess, environment, free_port

ROOT: Final = Path(__file__).parents[2]
LOCUST: Final = (sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py")
UNLIMITED: Final = {"TRUSTED_PROXIES": "127.0.0.1", "RATE_LIMIT_REQUESTS": "5000"}
"""As docs/load-testing.md starts the service."""

TIMEOUT_S: Final = 60.0


def locust(*options: str) -> subprocess.CompletedProcess[str]:
    """Run Locust without its page."""
    command = [*LOCUST, "--headless", *options]
    env = environment()
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@pytest.mark.deploy("Locust's own options and page work", tool="Locust, Chromium")
def test_users_rate_and_time_are_those_of_the_command_line(tmp_path: Path) -> None:
    with ServiceProcess(**UNLIMITED) as service:
        done = locust("--host", service.url, "-u", "20", "-r", "20", "-t", "5s", "--csv", str(tmp_path / "load"))
    assert done.returncode == 0, done.stderr
    assert '"IdUser"' in done.stderr
    assert "(20 total users)" in done.stderr
    rows = {row["Name"]: row for row in csv.DictReader((tmp_path / "load_stats.csv").read_text().splitlines())}
    assert int(rows["Aggregated"]["Request Count"]) > 20
    assert int(rows["Aggregated"]["Failure Count"]) == 0


@pytest.mark.deploy("Locust's own options and page work", tool="Locust, Chromium")
def test_against_a_plain_service_it_says_why_it_is_limited() -> None:
    with ServiceProcess(RATE_LIMIT_REQUESTS="5") as service:
        done = locust("--host", service.url, "-u", "20", "-r", "20", "-t", "5s")
    assert done.returncode == 1
    assert "TRUSTED_PROXIES" in done.stderr


@pytest.mark.deploy("Locust's own options and page work", tool="Locust, Chromium")
def test_the_page_of_locust_starts_and_stops_the_load() -> None:
    from tests.support.browser import VIEWS, chromium, visit

    port = free_port()
    options = ("--host", "http://127.0.0.1:1", "--web-host", "127.0.0.1", "--web-port", str(port))
    with ServiceProcess(**UNLIMITED) as service:
        process = subprocess.Popen([*LOCUST, *options], cwd=ROOT, env=environment(), stderr=subprocess.PIPE)
        assert process.stderr is not None
        log = LogReader(process.stderr)
        try:
            assert log.wait(lambda text: "web interface" in text, TIMEOUT_S), log.text()
            with chromium() as browser, visit(browser, f"http://127.0.0.1:{port}/", VIEWS[2]) as visited:
                page = visited.page
                page.fill("input[name=userCount]", "5")
                page.fill("input[name=spawnRate]", "5")
                page.fill("input[name=host]", service.url)
                page.click("button[type=submit]")
                page.locator("tr", has_text=re.compile(r"Aggregated\s*[1-9]")).wait_for()  # requests were made
                page.get_by_role("button", name=re.compile("stop", re.IGNORECASE)).click()
                assert visited.complaints == []
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)
            log.close()
