"""The script that makes Secrets with random keys, and the example, which is refused."""

import os
import subprocess

import pytest
import yaml

from arsenal_fast.config.load import load
from arsenal_fast.errors import ConfigurationError
from arsenal_fast.stores.redis.url import parse_url
from tests.deploy.k8s_policies import SECRETS
from tests.deploy.manifests import K8S, ROOT, built, secrets_for

pytestmark = pytest.mark.deploy("Kubernetes: Secrets", tool="scripts/k8s-secrets.sh")


def written(**environ: str) -> str:
    command = [ROOT / "scripts/k8s-secrets.sh"]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, check=True
    ).stdout


def example() -> dict[str, dict[str, str]]:
    text = (K8S / "identity-secrets.example.yaml").read_text(encoding="utf-8")
    return {each["metadata"]["name"]: each["stringData"] for each in yaml.safe_load_all(text)}


def test_the_script_the_example_and_the_policies_name_the_same_keys() -> None:
    assert {name: set(keys) for name, keys in secrets_for("production").items()} == SECRETS
    assert {name: set(keys) for name, keys in example().items()} == SECRETS


def test_two_runs_have_nothing_in_common() -> None:
    first, second = ({each["metadata"]["name"]: each for each in yaml.safe_load_all(written())} for _ in range(2))
    assert first["redis-auth"]["data"]["password"] != second["redis-auth"]["data"]["password"]
    assert first["identity-secrets"]["data"]["JWT_SECRET"] != second["identity-secrets"]["data"]["JWT_SECRET"]


def test_the_service_knows_the_password_of_redis() -> None:
    secrets = secrets_for("production")
    password = secrets["redis-auth"]["password"]
    assert len(password) == 48
    assert secrets["identity-secrets"]["REDIS_URL"] == f"redis://:{password}@redis-master:6379/0"


def test_the_service_knows_the_sentinels_and_the_password_of_both() -> None:
    secrets = secrets_for("production-sentinel")
    password = secrets["redis-auth"]["password"]
    address = parse_url(secrets["identity-secrets"]["REDIS_URL"])
    assert address.password.decode() == address.parameters["sentinel_password"] == password
    assert (len(address.sentinels), address.service) == (3, "identities")


def test_a_redis_outside_needs_no_password_of_ours() -> None:
    assert secrets_for("production-external-redis").keys() == {"identity-secrets"}
    cluster = secrets_for("production-redis-cluster")
    assert cluster.keys() == {"identity-secrets"}
    assert parse_url(cluster["identity-secrets"]["REDIS_URL"]).nodes


def test_what_was_not_given_is_not_written() -> None:
    assert "DATABASE_URL" not in written()


def test_the_service_refuses_the_example() -> None:
    with pytest.raises(ConfigurationError, match="example of the documentation"):
        load(built("production").environment() | example()["identity-secrets"])
