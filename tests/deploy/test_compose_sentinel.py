"""docker-compose.sentinel.yml over docker-compose.yml: parsed by a real parser, and checked as the stack itself is."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from arsenal_fast.config.load import load
from arsenal_fast.stores.redis.url import parse_url
from tests.deploy.test_compose import BIN, PASSWORD, ROOT, parsed, production_file, project, rendered

OVERLAY = "docker-compose.sentinel.yml"
REDIS = ["redis", "redis-2", "redis-3"]
SENTINELS = ["sentinel", "sentinel-2", "sentinel-3"]


def url() -> str:
    """The one that the file prescribes."""
    (line,) = [line for line in (ROOT / OVERLAY).read_text(encoding="utf-8").splitlines() if "REDIS_URL=" in line]
    return line.partition("REDIS_URL=")[2].replace("PASSWORD", PASSWORD)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    lines = [f"REDIS_URL={url()}" if line.startswith("REDIS_URL=") else line for line in production_file().splitlines()]
    clone = project(tmp_path_factory.mktemp("clone"), env="\n".join(lines))
    shutil.copy(ROOT / OVERLAY, clone)
    done = rendered(clone, COMPOSE_FILE=f"docker-compose.yml:{OVERLAY}")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def stack(text: str) -> dict[str, Any]:
    stack: dict[str, Any] = yaml.safe_load(text)
    return stack


@pytest.mark.deploy("Compose file follows the Compose specification", tool="check-jsonschema")
def test_it_follows_the_compose_specification(text: str, tmp_path: Path) -> None:
    file = tmp_path / "docker-compose.yml"
    file.write_text(text)
    command: list[str | Path] = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@parsed
def test_three_redis_and_three_sentinels_start(stack: dict[str, Any]) -> None:
    always = [name for name, service in stack["services"].items() if not service.get("profiles")]
    assert sorted(always) == sorted(["identity-service", *REDIS, *SENTINELS])


@parsed
@pytest.mark.parametrize("name", [*REDIS, *SENTINELS])
def test_each_is_as_bounded_as_the_redis_of_the_stack_and_knows_the_others(stack: dict[str, Any], name: str) -> None:
    service = stack["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["user"] == "999:1000"
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])
    assert service["networks"] == ["state"]
    assert "ports" not in service
    assert service["entrypoint"] == ["sh", "/etc/redis-node/node.sh"]
    assert service["command"] == (["redis", "--dir", "/data"] if name in REDIS else ["sentinel"])
    known = {key: service["environment"][key] for key in ("HOSTS", "SENTINELS", "SELF")}
    assert known == {"HOSTS": " ".join(REDIS), "SENTINELS": " ".join(SENTINELS), "SELF": name}
    data = [volume for volume in service["volumes"] if volume.endswith(":/data")]
    assert data == ([f"{name}-data:/data"] if name in REDIS else [])
    for volume in set(service["volumes"]) - set(data):
        source, _, mode = volume.split(":")
        assert (ROOT / source).is_dir()
        assert mode == "ro"


@parsed
def test_the_service_knows_the_sentinels(stack: dict[str, Any]) -> None:
    given = str(stack["services"]["identity-service"]["environment"]["REDIS_URL"])
    assert load({"REDIS_URL": given}).warnings == ()
    address = parse_url(given)
    assert [place.host for place in address.sentinels] == SENTINELS
    assert address.password.decode() == address.parameters["sentinel_password"] == PASSWORD
