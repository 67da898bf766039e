"""A real Prometheus beside the running service: every query of the dashboard has a result, alerts fire.

It reads the configuration of the repository, but for the address, the intervals and how long an alert waits. The
service speaks TLS, since only then it has the metric of its certificate.
"""

import http.client
import json
import math
import os
import re
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.build import expression
from deploy.grafana.panels import ROWS
from tests.support.certificates import good_pair
from tests.support.daemons import Alertmanager, Prometheus, wait_for
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus/rules/identity-service.yml"

SCRAPE = "1s"
WINDOW = "10s"
"""Stands for Grafana's $__rate_interval."""

LIMIT = 50
"""Requests of one client; the greedy one of the traffic is soon over it."""

EMPTY_WHILE_WELL = {
    ("Alerts", "Alerts that fire"): "no alert",
    ("Errors", "5xx by route"): "no failure",
}
"""Panels that may be empty, with the missing series; both have data after an outage of Redis and a revocation."""

METRIC = re.compile(r"(?<!:)\b(?:identity|http|process|python)_[a-z0-9_]+|\bup\b")


def questions() -> dict[tuple[str, str], list[str]]:
    """Every query of the dashboard as Grafana sends it, by row and panel."""
    return {
        (row.title, panel.title): [filled(query) for query in panel.queries.values()]
        for row in ROWS
        for panel in row.panels
    }


def filled(query: str) -> str:
    chosen = {"$job": "identity-service", "$instance": ".*", "$__rate_interval": WINDOW}
    text = expression(query)
    for variable, value in chosen.items():
        text = text.replace(variable, value)
    assert "$" not in text, text
    return text


def configuration(service: ServiceProcess, certificate: Path, directory: Path) -> str:
    """The repository's, with alerts that wait for a moment only, in a hurry."""
    told: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    (directory / "rules").mkdir()
    (directory / "rules/identity-service.yml").write_text(yaml.safe_dump(rules))
    told["global"] = {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE}
    del told["alerting"]
    (job,) = [each for each in told["scrape_configs"] if each["job_name"] == "identity-service"]
    assert job["static_configs"] == [{"targets": ["identity-service:3655"]}]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{service.port}"]}]
    job |= {"scheme": "https", "tls_config": {"ca_file": str(certificate)}}
    told["scrape_configs"] = [job]
    return yaml.safe_dump(told)


class Traffic:
    """What clients do all day, some hundred times a second, until the end of ``with``."""

    def __init__(self, service: ServiceProcess, tls: ssl.SSLContext) -> None:
        self._service = service
        self._tls = tls
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for number in count():
            if self._stop.wait(0.005):
                return
            try:
                self._round(number)
            except (OSError, http.client.HTTPException):
                continue  # the service is being killed

    def _round(self, number: int) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", self._service.port, timeout=5, context=self._tls)
        # A polite client of its own each time, and a greedy one.
        polite = {"X-Forwarded-For": f"198.51.{number // 250 % 250}.{number % 250 + 1}"}
        greedy = {"X-Forwarded-For": "203.0.113.1"}

        def ask(method: str, path: str, headers: dict[str, str], body: object = None) -> Any:
            octets = None if body is None else json.dumps(body)
            connection.request(method, path, octets, headers | {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())

        ask("GET", f"/api/v1/id?prefix=player&run={number % 7}", polite)
        new = ask("GET", f"/api/v1/id?prefix=new&run={number}", polite)
        ask("GET", "/api/v1/id?prefix=player&run=1", greedy)
        proof = {"identity": new["id"], "token": new["token"]}
        ask("POST", "/api/v1/validate", polite, proof)
        ask("POST", "/api/v1/revoke", polite, proof)  # a 503 while Redis is away: it could not hold everywhere
        ask("GET", "/nowhere", polite)
        connection.close()


@dataclass(frozen=True)
class Scene:
    redis: RedisServer
    service: ServiceProcess
    prometheus: Prometheus


@contextmanager
def scene(directory: Path, workers: int = 1) -> Iterator[Scene]:
    pair = good_pair(directory / "tls")
    with (
        RedisServer() as redis,
        ServiceProcess(
            **REPLICA,
            **pair.variables,
            WORKERS=str(workers),
            REDIS_URL=redis.url,
            RATE_LIMIT_REQUESTS=str(LIMIT),
            TRUSTED_PROXIES="127.0.0.1",
            DATABASE_URL=f"sqlite:///{directory / 'identity.db'}",
        ) as service,
        Prometheus(directory, configuration(service, pair.certificate, directory)) as prometheus,
        Traffic(service, pair.trusting),
    ):
        yield Scene(redis, service, prometheus)


def unanswered(prometheus: Prometheus, panels: dict[tuple[str, str], list[str]]) -> list[str]:
    """The queries that give nothing, or nothing that is a number."""
    return [
        f"{row} / {panel}: {query}"
        for (row, panel), queries in panels.items()
        for query in queries
        if all(math.isnan(value) for _, value in prometheus.query(query))
    ]


def wait_for_answers(prometheus: Prometheus, panels: dict[tuple[str, str], list[str]]) -> None:
    missing: list[str] = []

    def all_answered() -> bool:
        missing[:] = unanswered(prometheus, panels)
        return not missing

    try:
        wait_for(all_answered, "no data")
    except AssertionError:
        raise AssertionError("no data for:\n" + "\n".join(missing)) from None


@pytest.mark.deploy("every query of the dashboard and every metric of the rules returns data", tool="prometheus")
@pytest.mark.parametrize("workers", [1, 2])
def test_every_question_of_dashboard_and_rules_is_answered_by_the_running_service(workers: int, tmp_path: Path) -> None:
    with scene(tmp_path, workers) as at:
        prometheus = at.prometheus
        panels = questions()
        late = {name: queries for name, queries in panels.items() if name in EMPTY_WHILE_WELL}
        assert late.keys() == EMPTY_WHILE_WELL.keys()
        wait_for_answers(prometheus, {name: queries for name, queries in panels.items() if name not in late})
        (health,) = panels["Is it well?", "Health"]
        assert prometheus.value(health) == 0
        assert prometheus.value("identity_workers") == workers

        rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
        metrics = {name for rule in rules for name in METRIC.findall(rule["expr"])}
        assert {name for name in metrics if not prometheus.query(name)} == set()

        at.redis.kill()
        wait_for_answers(prometheus, late)
        wait_for(lambda: prometheus.value(health) == 1, "health is not degraded")
        wait_for(lambda: {"IdentityServiceDegraded", "LimitsNotShared"} <= prometheus.alerts().keys(), "no alert")
        wait_for_answers(prometheus, panels)  # with Redis away no panel goes blank

        evaluated = [rule for group in prometheus.get("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
        assert len(evaluated) == len(rules)
        assert [rule["name"] for rule in evaluated if rule["health"] == "err"] == []
        for alert in prometheus.alerts().values():
            assert "error" not in alert["annotations"]["description"], alert
            assert "<no value>" not in alert["annotations"]["description"], alert


@pytest.mark.deploy("a killed worker takes no count with it", tool="prometheus")
def test_no_sum_goes_back_when_a_worker_is_killed_and_its_successor_is_counted(tmp_path: Path) -> None:
    with scene(tmp_path, workers=2) as at:
        prometheus = at.prometheus
        wait_for(lambda: (prometheus.value("sum(increase(identity_api_requests_total[10s]))") or 0) > 20, "no traffic")
        os.kill(at.service.worker_pids[1], signal.SIGKILL)
        wait_for(lambda: prometheus.value("identity_worker_restarts_total") == 1, "no restart")
        wait_for(lambda: prometheus.value("identity_workers") == 2, "no successor")
        names = [name for name in prometheus.names() if re.search("_(total|count|sum|bucket)$", name)]
        assert len(names) > 50
        assert {name for name in names if prometheus.value(f"max(resets({name}[5m]))") != 0} == set()


@pytest.mark.deploy("a dead service makes IdentityServiceDown fire", tool="prometheus")
def test_killing_the_service_fires_the_alert_that_it_is_down(tmp_path: Path) -> None:
    with scene(tmp_path) as at:
        wait_for(lambda: at.prometheus.value('up{job="identity-service"}') == 1, "it is never scraped")
        wait_for(lambda: "IdentityServiceDown" not in at.prometheus.alerts(), "it fires though all is well")
        at.service.kill()
        wait_for(lambda: "IdentityServiceDown" in at.prometheus.alerts(), "no alert")
        told = at.prometheus.alerts()["IdentityServiceDown"]
        assert told["labels"]["severity"] == "critical"
        assert f"127.0.0.1:{at.service.port}" in told["annotations"]["description"]


@pytest.mark.deploy("the alert of a dead instance silences its others", tool="alertmanager")
def test_alertmanager_tells_the_cause_and_not_its_consequences(tmp_path: Path) -> None:
    def alert(name: str, **labels: str) -> dict[str, Any]:
        return {"labels": {"alertname": name, "job": "identity-service", **labels}}

    posted = [
        alert("IdentityServiceDown", instance="a:3655"),
        alert("LedgerBacklog", instance="a:3655"),
        alert("LedgerBacklog", instance="b:3655"),
        alert("IdentityServiceDegraded", instance="b:3655"),
        alert("LimitsNotShared"),
        alert("StoreEvicting"),
    ]
    silenced = {("LedgerBacklog", "a:3655"), ("LimitsNotShared", None)}
    with Alertmanager(tmp_path, DEPLOY / "alertmanager/alertmanager.yml") as alertmanager:
        alertmanager.post("/api/v2/alerts", posted)

        def told() -> list[dict[str, Any]]:
            answer: list[dict[str, Any]] = alertmanager.get("/api/v2/alerts")
            return answer

        def inhibited() -> set[tuple[str, str | None]]:
            return {
                (each["labels"]["alertname"], each["labels"].get("instance"))
                for each in told()
                if each["status"]["inhibitedBy"]
            }

        wait_for(lambda: len(told()) == len(posted) and inhibited() == silenced, f"silenced: {inhibited()}")
