"""A limits file over real processes: exact over two of them, and read again by every worker."""

import json
import os
import signal
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from time import time
from typing import Any

import pytest

from tests.integration.test_exact_limit import ID, REQUESTS, at_once, services
from tests.integration.test_token_exchange import exchange
from tests.support.http_client import Answer, clients, request
from tests.support.loops import run
from tests.support.oidc_issuer import OidcIssuer
from tests.support.redis_server import RedisServer
from tests.support.service import REPLICA, ServiceProcess, command

pytestmark = pytest.mark.integration

HOUR, DAY, SHADOW = 100, 80, 30


def file(path: Path, *policies: str) -> str:
    path.write_text("".join(f"[[policy]]\n{policy}\n" for policy in policies))
    return str(path)


def policy(name: str, requests: int, window: int, *more: str) -> str:
    return "\n".join((f'name = "{name}"', f"requests = {requests}", f"window = {window}", *more))


def get(service: ServiceProcess, target: str) -> tuple[dict[str, str], Any]:
    """Return headers and JSON of one request on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=10)
    with closing(connection):
        connection.request("GET", target)
        answer = connection.getresponse()
        return {name.lower(): value for name, value in answer.getheaders()}, json.load(answer)


def metrics(service: ServiceProcess, name: str) -> float:
    connection = HTTPConnection("127.0.0.1", service.port, timeout=10)
    with closing(connection):
        connection.request("GET", "/api/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_of_1000_at_once_over_two_processes_exactly_those_pass_that_two_policies_let(
    redis: RedisServer, tmp_path: Path
) -> None:
    """Refused by one means charged to none; the shadow policy is charged by what passes, and counts the rest."""
    path = file(
        tmp_path / "limits.toml",
        policy("hour", HOUR, 36_000),
        policy("day", DAY, 864_000),
        policy("tight", SHADOW, 864_000, "shadow = true"),
    )

    async def crowd(ports: list[int]) -> tuple[list[Answer], Answer]:
        async with clients(ports, REQUESTS) as opened:
            return await at_once(opened, [ID] * REQUESTS), await opened[0].ask(request("GET", "/api/v1/limits"))

    with services(2, LIMITS_FILE=path, REDIS_URL=redis.url) as started:
        answers, limits = run(crowd([service.port for service in started]), deadline=60)
        shadow = [metrics(service, "identity_limiter_shadow_refused_total{") for service in started]
    assert Counter(answer.status for answer in answers) == {200: DAY, 429: REQUESTS - DAY}
    assert all(answer.json["violated-policies"] == ["day"] for answer in answers if answer.status == 429)
    left = [int(answer.headers["x-ratelimit-remaining"]) for answer in answers if answer.status == 200]
    assert sorted(left) == list(range(DAY)), "each that passes gets a different remainder"
    remaining = {row["policy"]: row["remaining"] for row in limits.json["policies"]}
    assert remaining == {"hour": HOUR - DAY, "day": 0}
    assert sum(shadow) == DAY - SHADOW


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_worker_reads_the_file_again_and_a_wrong_one_changes_nothing(
    redis: RedisServer, tmp_path: Path, workers: str
) -> None:
    path = tmp_path / "limits.toml"
    env = {"LIMITS_FILE": file(path, policy("first", 1000, 60)), "REDIS_URL": redis.url, "WORKERS": workers}
    count = int(workers)
    with ServiceProcess(**env) as service:
        told = [get(service, "/api/v1/limits")[1]["policy"] for _ in range(8)]
        assert told == ["first"] * 8
        file(path, policy("second", 2000, 60))
        service.send_signal(signal.SIGHUP)
        service.wait_for_log(r"LIMITS_FILE is in force: \S+ \(second\)", count)
        assert [get(service, "/api/v1/limits")[1]["policy"] for _ in range(8)] == ["second"] * 8
        path.write_text('[[policy]]\nname = "third"\nrequests = 0\nwindow = 60\n')
        service.send_signal(signal.SIGHUP)
        service.wait_for_log(
            r"LIMITS_FILE is refused, .* line 3: policy 1 \"third\" has requests = 0; it must be", count
        )
        _, health = get(service, "/api/health")
        assert health["reasons"] == {"limits": "LIMITS_FILE was changed and is refused, see the log"}
        assert health["runbooks"]["limits"].endswith("/SettingsRefused.md")
        assert health["status"] == "healthy"
        assert [get(service, "/api/v1/limits")[1]["policy"] for _ in range(8)] == ["second"] * 8
        assert metrics(service, "identity_files_refused_total") >= 1
        file(path, policy("fourth", 1000, 60))
        service.wait_for_log(r"LIMITS_FILE is in force: \S+ \(fourth\)", count, timeout=30)
        assert "reasons" not in get(service, "/api/health")[1]


def test_a_worker_that_takes_the_place_of_another_has_the_file_of_now(redis: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    env = {"LIMITS_FILE": file(path, policy("first", 1000, 60)), "REDIS_URL": redis.url, "WORKERS": "2"}
    with ServiceProcess(**env) as service:
        file(path, policy("second", 1000, 60))
        service.send_signal(signal.SIGHUP)
        service.wait_for_log(r"LIMITS_FILE is in force: \S+ \(second\)", 2)
        service.signal_worker(service.worker_pids[0], signal.SIGKILL)
        service.wait_for_log("serving on", 3)
        assert [get(service, "/api/v1/limits")[1]["policy"] for _ in range(8)] == ["second"] * 8


def test_the_links_of_a_config_map_are_followed(redis: RedisServer, tmp_path: Path) -> None:
    for name in ("first", "second"):
        version = tmp_path / f"..{name}"
        version.mkdir()
        file(version / "limits.toml", policy(name, 1000, 60))
    data, path = tmp_path / "..data", tmp_path / "limits.toml"
    data.symlink_to("..first")
    path.symlink_to("..data/limits.toml")
    with ServiceProcess(LIMITS_FILE=str(path), REDIS_URL=redis.url) as service:
        assert get(service, "/api/v1/limits")[1]["policy"] == "first"
        (tmp_path / "..data_tmp").symlink_to("..second")
        os.replace(tmp_path / "..data_tmp", data)
        service.wait_for_log(r"LIMITS_FILE is in force: \S+ \(second\)", timeout=30)
        assert get(service, "/api/v1/limits")[1]["policy"] == "second"


def test_the_rules_for_id_tokens_are_read_again_by_the_same_mechanism(redis: RedisServer, tmp_path: Path) -> None:
    with OidcIssuer() as issuer:
        rules = tmp_path / "oidc.json"
        good = issuer.rules()
        rules.write_text(good.replace("your-org/", "another-org/"))
        variables = {"REDIS_URL": redis.url, "OIDC_ISSUERS": str(rules), "PROTECTED_PREFIXES": "ci", **REPLICA}
        with ServiceProcess(**variables) as service:
            status, answer = exchange(service, issuer.token(time(), jti="a"))
            assert (status, answer["error_description"]) == (
                400,
                "No rule of OIDC_ISSUERS has the claims of the token.",
            )
            rules.write_text(good)
            service.send_signal(signal.SIGHUP)
            service.wait_for_log("OIDC_ISSUERS is in force", 2)
            assert exchange(service, issuer.token(time(), jti="b"))[0] == 200
            rules.write_text("{")
            service.send_signal(signal.SIGHUP)
            service.wait_for_log("OIDC_ISSUERS is refused, .* must be TOML or JSON")
            assert exchange(service, issuer.token(time(), jti="c"))[0] == 200
            assert get(service, "/api/health")[1]["reasons"].keys() == {"issuers"}


def test_check_names_the_file_the_line_and_what_is_wrong(tmp_path: Path) -> None:
    path = file(tmp_path / "limits.toml", policy("burst", 0, 1))
    done = command("check", env={"LIMITS_FILE": path})
    assert done.returncode == 78
    sentence = 'line 3: policy 1 "burst" has requests = 0; it must be a whole number from 1 to 1000000000.'
    assert f"LIMITS_FILE {path}, {sentence}" in done.stderr
