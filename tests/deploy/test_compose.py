"""docker-compose.yml: parsed by a real parser, checked against the Compose specification, and its commands run."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import arsenal_fast
from arsenal_fast.config.load import load
from arsenal_fast.config.schema import TABLE
from tests.support.service import REPLICA, ServiceProcess, free_port

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PROFILES = ("monitoring", "tls")
PASSWORD = "0123456789abcdef0123456789abcdef"
JWT_SECRET = "Zm9ydHktZWlnaHQgb2N0ZXRzIG9mIG5vYm9keSdzIGJ1c2luZXNz"
MIB = 2**20
RUN = ROOT / "deploy" / "redis" / "run.sh"
SHELLS = {"dash": ["sh"], "ash of the image": ["busybox", "sh"]}

parsed = pytest.mark.deploy("Compose file is read as meant", tool="podman-compose")
mounted = pytest.mark.deploy("what the Compose file mounts is there", tool="podman-compose")
redis_of_the_stack = pytest.mark.deploy("Redis of the stack wants its password", tool="redis-server, busybox")
proxied = pytest.mark.deploy("Caddyfile is valid and keeps what is internal", tool="caddy")


def production_file() -> str:
    """.env.production after ``cp`` and the edits that the example requires."""
    text = (ROOT / ".env.production.example").read_text(encoding="utf-8")
    for placeholder, value in (
        ("change-me-to-the-output-of-openssl-rand-base64-48", JWT_SECRET),
        ("change-me-to-the-output-of-openssl-rand-hex-32", PASSWORD),
    ):
        assert text.count(placeholder) == 1
        text = text.replace(placeholder, value)
    return text


def project(directory: Path, *, env: str | None) -> Path:
    """A clone as Compose sees it; ``env`` is the text of .env.production."""
    shutil.copy(ROOT / "docker-compose.yml", directory)
    os.symlink(os.readlink(ROOT / ".env"), directory / ".env")
    if env is not None:
        (directory / ".env.production").write_text(env)
    # podman-compose runs podman for its version before it reads anything.
    podman = directory / "bin" / "podman"
    podman.parent.mkdir()
    podman.write_text("#!/bin/sh\necho podman version 5.0.0\n")
    podman.chmod(0o755)
    return directory


def rendered(directory: Path, *profiles: str, **shell: str) -> subprocess.CompletedProcess[str]:
    """What a parser makes of it: merged, interpolated."""
    return subprocess.run(
        [BIN / "podman-compose", *(f"--profile={profile}" for profile in profiles), "config"],
        cwd=directory,
        env={"PATH": f"{directory / 'bin'}:{os.environ['PATH']}", "HOME": str(directory), **shell},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("clone"), env=production_file())


@pytest.fixture(scope="module")
def stack(clone: Path) -> dict[str, Any]:
    """All of it, with both profiles."""
    done = rendered(clone, *PROFILES)
    assert done.returncode == 0, done.stderr
    stack: dict[str, Any] = yaml.safe_load(done.stdout)
    return stack


@pytest.mark.deploy("Compose file follows the Compose specification", tool="check-jsonschema")
def test_the_stack_follows_the_compose_specification(clone: Path, tmp_path: Path) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(rendered(clone, *PROFILES).stdout)
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@parsed
def test_without_a_profile_only_the_service_and_its_redis_start(clone: Path, stack: dict[str, Any]) -> None:
    always = [name for name, service in stack["services"].items() if not service.get("profiles")]
    assert sorted(always) == ["identity-service", "redis"]
    assert {profile for service in stack["services"].values() for profile in service.get("profiles", ())} == {*PROFILES}


@parsed
def test_the_production_file_is_all_that_is_edited(tmp_path: Path) -> None:
    missing = rendered(project(tmp_path, env=None))
    assert missing.returncode != 0
    assert "cp .env.production.example .env.production" in missing.stderr


@parsed
def test_a_changed_port_is_published_and_the_inside_stays(tmp_path: Path) -> None:
    text = production_file().replace("PORT=3655", "PORT=8080")
    service = yaml.safe_load(rendered(project(tmp_path, env=text)).stdout)["services"]["identity-service"]
    assert service["ports"] == ["127.0.0.1:8080:3655"]
    assert service["environment"]["PORT"] == 3655


@parsed
def test_the_service_has_the_whole_file_and_the_others_only_what_they_need(stack: dict[str, Any]) -> None:
    services = stack["services"]
    assert services["identity-service"]["env_file"] == [".env.production"]
    assert JWT_SECRET not in json.dumps(stack)
    holders = [name for name, service in services.items() if PASSWORD in json.dumps(service)]
    assert sorted(holders) == ["identity-service", "redis"]
    assert [name for name, service in services.items() if "env_file" in service] == ["identity-service"]


@parsed
def test_the_service_accepts_what_compose_gives_it(stack: dict[str, Any]) -> None:
    lines = [line for line in production_file().splitlines() if line and not line.startswith("#")]
    given = {name: str(value) for name, value in stack["services"]["identity-service"]["environment"].items()}
    config = load({**dict(line.split("=", 1) for line in lines), **given})
    assert config.warnings == ()
    assert config.production
    assert set(given) <= {row.name for row in TABLE}


def test_what_compose_alone_reads_is_documented_and_no_misspelling_to_the_service() -> None:
    names = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    own = names - {row.name for row in TABLE}
    assert own
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert [name for name in sorted(own) if f"`{name}=" not in page] == []
    assert load(dict.fromkeys(own, "x")).warnings == ()


@parsed
@pytest.mark.parametrize("name", ["identity-service", "redis", "caddy", "prometheus", "alertmanager", "grafana"])
def test_each_container_is_bounded_and_can_change_nothing_but_its_volumes(stack: dict[str, Any], name: str) -> None:
    service = stack["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert ":latest" not in service["image"]
    assert ":" in service["image"]


@parsed
def test_nothing_is_published_beyond_the_machine_but_the_proxy(stack: dict[str, Any]) -> None:
    public = {
        name: service["ports"]
        for name, service in stack["services"].items()
        if any(not port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    }
    assert public == {"caddy": ["80:80", "443:443", "443:443/udp"]}
    assert "ports" not in stack["services"]["redis"]
    assert stack["services"]["redis"]["networks"] == ["state"]
    assert stack["networks"]["state"]["internal"] is True


@parsed
def test_the_service_trusts_only_the_proxy_of_the_stack(stack: dict[str, Any]) -> None:
    proxy = stack["services"]["caddy"]["networks"]["edge"]["ipv4_address"]
    assert stack["services"]["identity-service"]["environment"]["TRUSTED_PROXIES"] == proxy


@parsed
def test_stopping_waits_for_the_drain(stack: dict[str, Any]) -> None:
    grace = stack["services"]["identity-service"]["stop_grace_period"]
    (default,) = (row.default for row in TABLE if row.name == "DRAIN_SECONDS")
    assert int(grace.removesuffix("s")) > int(default)


@parsed
def test_the_image_has_the_version_of_the_service(stack: dict[str, Any]) -> None:
    assert stack["services"]["identity-service"]["image"] == f"arsenal-identity:v{arsenal_fast.__version__}"


@parsed
def test_redis_has_room_beside_its_data(stack: dict[str, Any]) -> None:
    text = (ROOT / "deploy" / "redis" / "redis.conf").read_text()
    directives = dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert directives["maxmemory-policy"] == "volatile-lfu"
    maxmemory = int(directives["maxmemory"].removesuffix("mb")) * MIB
    limit = int(stack["services"]["redis"]["deploy"]["resources"]["limits"]["memory"].removesuffix("M")) * MIB
    assert maxmemory * 2 <= limit, "a snapshot's fork can need as much again"


@cache
def bind_mounts() -> list[str]:
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    volumes = [volume for service in stack["services"].values() for volume in service.get("volumes", ())]
    return sorted({volume.split(":")[0] for volume in volumes if volume.startswith("./")})


@mounted
@pytest.mark.parametrize("path", bind_mounts())
def test_what_is_mounted_is_there_and_read_only(path: str) -> None:
    assert (ROOT / path).exists(), "Docker would make an empty directory of it"
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if f"- {path}:" in line]
    assert lines
    assert all(line.endswith(":ro") for line in lines)


@mounted
def test_the_files_that_the_containers_read_are_mounted(stack: dict[str, Any]) -> None:
    told = {
        "prometheus": ["/etc/prometheus/prometheus.yml"],
        "alertmanager": ["/etc/alertmanager/alertmanager.yml"],
        "grafana": [stack["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]],
        "redis": [stack["services"]["redis"]["entrypoint"][1]],
        "caddy": ["/etc/caddy/Caddyfile"],
    }
    for name, files in told.items():
        mounts = [volume.split(":")[:2] for volume in stack["services"][name]["volumes"] if volume.startswith("./")]
        for file in files:
            here = [
                ROOT / source / Path(file).relative_to(target) for source, target in mounts if file.startswith(target)
            ]
            assert [path.is_file() for path in here] == [True], (name, file)


@mounted
def test_grafana_finds_its_dashboards_where_they_are_mounted(stack: dict[str, Any]) -> None:
    targets = [volume.split(":")[1] for volume in stack["services"]["grafana"]["volumes"]]
    (provider,) = (ROOT / "deploy/grafana/provisioning/dashboards").glob("*.yml")
    providers = yaml.safe_load(provider.read_text(encoding="utf-8"))["providers"]
    assert [entry["options"]["path"] in targets for entry in providers] == [True]


@contextmanager
def running(command: list[str | Path], port: int, env: dict[str, str], stdin: str = "") -> Iterator[int]:
    """A server, once it listens on the port; its PID, by which it is ended."""
    with tempfile.TemporaryFile("w+") as log, tempfile.TemporaryFile("w+") as text:
        text.write(stdin)
        text.seek(0)
        with subprocess.Popen(command, env=env, stdin=text, stdout=log, stderr=log) as process:
            try:
                deadline = time.monotonic() + 15
                while not listens(port):
                    if process.poll() is not None or time.monotonic() > deadline:
                        log.seek(0)
                        raise AssertionError(f"{command[0]} does not listen: {log.read()[-2000:]}")
                    time.sleep(0.02)  # there is no event for a listening socket
                yield process.pid
            finally:
                process.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run_redis(shell: list[str], *arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "REDIS_URL": url}
    return subprocess.run([*shell, RUN, *arguments], env=env, capture_output=True, text=True, timeout=20, check=False)


@redis_of_the_stack
@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS.keys())
def test_redis_requires_the_password_of_the_url_and_never_shows_it(shell: list[str], tmp_path: Path) -> None:
    port, url = free_port(), f"redis://:{PASSWORD}@redis:6379/1"
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    env = {"PATH": os.environ["PATH"], "REDIS_URL": url}
    with running([*shell, RUN, "server", *options], port, env) as pid:

        def cli(*arguments: str, url: str = url) -> str:
            return run_redis(shell, "cli", "-p", str(port), *arguments, url=url).stdout.strip()

        assert cli("ping") == "PONG"
        assert "WRONGPASS" in run_redis(shell, "cli", "-p", str(port), "ping", url="redis://:x@redis").stderr
        unauthenticated = subprocess.run(
            ["redis-cli", "-p", str(port), "ping"], capture_output=True, text=True, check=False
        )
        assert "NOAUTH" in unauthenticated.stdout
        assert cli("config", "get", "maxmemory").split() == ["maxmemory", str(256 * MIB)]
        assert cli("config", "get", "maxmemory-policy").split() == ["maxmemory-policy", "volatile-lfu"]
        assert cli("config", "get", "appendonly").split() == ["appendonly", "no"]
        for secret in ("cmdline", "environ"):
            assert PASSWORD.encode() not in Path(f"/proc/{pid}/{secret}").read_bytes()


@redis_of_the_stack
@pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS.keys())
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://redis:6379/1", "REDIS_URL has no password"),
        ("redis://:change-me-to-the-output-of-openssl-rand-hex-32@redis:6379/1", "has the example's password"),
        ("redis://:p%40ss@redis:6379/1", "and no escapes"),
        ("redis://:a b@redis:6379/1", "and no escapes"),
        ("redis://:@redis:6379/1", "and no escapes"),
        ("redis://user:password@redis:6379/1", "names a user"),
    ],
)
def test_redis_does_not_start_open(shell: list[str], url: str, told: str) -> None:
    done = run_redis(shell, "server", "--port", "0", url=url)
    assert done.returncode == 78
    assert told in done.stderr
    assert "p%40ss" not in done.stderr


def caddyfile(**env: str) -> dict[str, Any]:
    """The Caddyfile as Caddy reads it."""
    done = subprocess.run(
        ["caddy", "adapt", "--config", ROOT / "deploy/caddy/Caddyfile", "--adapter", "caddyfile", "--validate"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    adapted: dict[str, Any] = json.loads(done.stdout)
    return adapted


@proxied
def test_caddy_gets_a_certificate_for_the_host_of_the_base_url(tmp_path: Path) -> None:
    (server,) = caddyfile(API_BASE_URL="https://identity.api.yourbook.com")["apps"]["http"]["servers"].values()
    assert server["listen"] == [":443"]
    assert server["routes"][0]["match"] == [{"host": ["identity.api.yourbook.com"]}]


@parsed
@pytest.mark.parametrize("url", ["https://identity.api.yourbook.com", "https://identity.api.yourbook.com/"])
def test_caddy_takes_the_base_url_without_a_slash_at_its_end(stack: dict[str, Any], url: str, tmp_path: Path) -> None:
    """A site address with a slash has that path alone."""
    command = stack["services"]["caddy"]["command"]
    caddy = tmp_path / "caddy"
    caddy.write_text('#!/bin/sh\necho "$API_BASE_URL $*"\n', encoding="utf-8")
    caddy.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "API_BASE_URL": url}
    argv = [part.replace("$$", "$") for part in command]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == ("https://identity.api.yourbook.com run --config /etc/caddy/Caddyfile --adapter caddyfile\n")


@proxied
def test_caddy_closes_idle_connections_before_the_service_does() -> None:
    (server,) = caddyfile(API_BASE_URL="https://identity.api.yourbook.com")["apps"]["http"]["servers"].values()
    found = re.search(r'"idle_timeout": (\d+)', json.dumps(server))
    assert found is not None, "Caddy keeps them for two minutes by default"
    assert int(found[1]) / 1e9 < load({}).keep_alive_timeout


@proxied
def test_through_caddy_a_client_is_charged_to_its_own_address_and_sees_nothing_internal(tmp_path: Path) -> None:
    port = free_port()
    with ServiceProcess(**REPLICA, TRUSTED_PROXIES="127.0.0.1") as service:
        text = json.dumps(caddyfile(API_BASE_URL=f"http://127.0.0.1:{port}"))
        assert "identity-service:3655" in text
        text = text.replace("identity-service:3655", f"127.0.0.1:{service.port}")
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        with running(["caddy", "run", "--config", "-"], port, env, text):

            def get(path: str, **headers: str) -> tuple[int, bytes]:
                request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
                try:
                    with urllib.request.urlopen(request, timeout=10) as answer:
                        return answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    return error.code, error.read()

            status, body = get("/api/v1/limits", **{"X-Forwarded-For": "203.0.113.9"})
            assert status == 200
            assert b"203.0.113.9" not in body
            assert b"127.0.0.1" in body
            assert get("/api/v1/id?prefix=player&run=1")[0] == 200
            assert get("/api/health")[0] == 200
            assert [get(path)[0] for path in ("/api/metrics", "/api/telemetry")] == [404, 404]
