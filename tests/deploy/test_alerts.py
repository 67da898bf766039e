"""The alerts without a running Prometheus: rules, their cases, their runbooks, Alertmanager's routes."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from arsenal_fast.observability.metrics import BUCKETS
from deploy.grafana.panels import ROWS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/rules/identity-service.yml"
CASES = sorted((ROOT / "deploy/prometheus/tests").glob("*.yml"))
RUNBOOKS = ROOT / "docs/runbooks"
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"

OF_THE_GUIDE = {"IdentityServiceDown": "critical", "HighErrorRate": "warning"}


@cache
def groups() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return loaded


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def names() -> list[str]:
    return [rule["alert"] for rule in alerts()]


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.deploy("alert rules and scrape configuration are valid", tool="promtool")
def test_promtool_accepts_rules_and_configuration() -> None:
    run("promtool", "check", "rules", RULES)
    run("promtool", "check", "config", ROOT / "deploy/prometheus/prometheus.yml")


@pytest.mark.deploy("each alert fires when it should and stays silent when not", tool="promtool test rules")
@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent(cases: Path) -> None:
    run("promtool", "test", "rules", cases)


@pytest.mark.deploy("the cases can tell a wrong rule", tool="promtool test rules")
@pytest.mark.parametrize("always", [True, False], ids=["fires always", "never fires"])
def test_every_case_notices_an_alert_that_is_wrong(always: bool, tmp_path: Path) -> None:
    wrong = {"expr": "vector(1)" if always else "vector(1) < 0", "for": "0s"}
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules").mkdir()
    blind = []
    for path in CASES:
        told = yaml.safe_load(path.read_text())
        for test in told["tests"]:
            (rule,) = [each for each in alerts() if test["name"].startswith(f"{each['alert']} ")]
            if bool(test["promql_expr_test"][0]["exp_samples"]) is not always:
                group = {"name": "wrong", "rules": [rule | wrong]}
                (tmp_path / "rules/identity-service.yml").write_text(yaml.safe_dump({"groups": [group]}))
                case = tmp_path / "tests/case.yml"
                case.write_text(yaml.safe_dump(told | {"tests": [test]}))
                if not subprocess.run(["promtool", "test", "rules", case], capture_output=True, check=False).returncode:
                    blind.append(test["name"])
    assert blind == []


def test_every_alert_has_a_case_that_fires_and_one_that_stays_silent() -> None:
    seen: dict[str, set[bool]] = {name: set() for name in names()}
    for path in CASES:
        for test in yaml.safe_load(path.read_text())["tests"]:
            for expected in test["promql_expr_test"]:
                (name,) = re.findall(r'alertname="(\w+)"', expected["expr"])
                fires = bool(expected["exp_samples"])
                assert test["name"].startswith(f"{name} {'fires' if fires else 'stays silent'}: ")
                seen[name].add(fires)
    assert {name for name, kinds in seen.items() if kinds != {True, False}} == set()


def test_the_alerts_of_the_guide_have_its_names_and_severities() -> None:
    told = {rule["alert"]: (rule["labels"]["severity"], rule.get("for")) for rule in alerts()}
    assert {name: told[name] for name in OF_THE_GUIDE} == {name: (word, "5m") for name, word in OF_THE_GUIDE.items()}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert all(rule["annotations"].values())
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{rule['alert']}.md")


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == set(names())
    assert len(names()) == len(set(names()))


@pytest.mark.parametrize("name", names())
def test_a_page_says_what_to_do_in_three_steps_and_leads_nowhere_else(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"(?m)^## (.*)$", text) == ["Confirm", "Fix", "Wake someone?"]
    assert "```bash\n" in text
    assert len(text.splitlines()) <= 45, "a runbook must be short"
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (RUNBOOKS / link).exists(), link


def test_the_documentation_lists_every_alert_as_the_rules_have_it() -> None:
    text = (ROOT / "docs/monitoring.md").read_text()
    rows = [
        f"| [{rule['alert']}](runbooks/{rule['alert']}.md) | {rule['labels']['severity']} | "
        f"{rule['annotations']['summary']} |"
        for rule in alerts()
    ]
    assert re.findall(r"(?m)^\| \[.*$", text) == rows


def test_a_record_is_named_by_its_window() -> None:
    for rule in rules():
        if "record" in rule:
            window = rule["record"].rpartition("ratio_rate")[2]
            assert set(re.findall(r"\[(\w+)\]", rule["expr"])) == {window}


def test_every_recorded_name_that_is_used_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    shown = [query for row in ROWS for panel in row.panels for query in panel.queries.values()]
    used = {
        name for text in (*(rule["expr"] for rule in alerts()), *shown) for name in re.findall(r"job:\w+:\w+", text)
    }
    assert used == recorded


def test_the_latency_objective_is_a_bound_of_the_histogram() -> None:
    text = RULES.read_text()
    assert {float(bound) for bound in re.findall(r'le="([^"]+)"', text)} == {0.05}
    assert {0.001, 0.005, 0.01, 0.025, 0.05} <= set(BUCKETS)


@pytest.mark.deploy("Alertmanager's configuration is valid and wakes for critical alerts alone", tool="amtool")
def test_amtool_accepts_the_configuration_and_its_routes() -> None:
    run("amtool", "check-config", ALERTMANAGER)
    for severity, receiver in (("critical", "on-call"), ("warning", "team")):
        chosen = run("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", f"severity={severity}")
        assert chosen.split() == [receiver]


def test_inhibitions_speak_of_alerts_that_exist() -> None:
    text = "\n".join(
        matcher
        for rule in yaml.safe_load(ALERTMANAGER.read_text())["inhibit_rules"]
        for matcher in (*rule["source_matchers"], *rule["target_matchers"])
    )
    assert set(re.findall(r"\b[A-Z]\w+\b", text)) <= set(names())
