"""docs/kubernetes.md names only what exists."""

import re
import shlex

import pytest
import yaml

from tests.deploy.k8s_policies import restricted
from tests.deploy.manifests import OVERLAYS, ROOT, Manifests, Pod, built
from tests.deploy.test_k8s_schemas import SUPPORTED

pytestmark = pytest.mark.deploy("Kubernetes: docs/kubernetes.md names what is there", tool="kubectl kustomize")

PAGE = (ROOT / "docs/kubernetes.md").read_text(encoding="utf-8")
COMMANDS = "\n".join(re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL))


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"\b(?:k8s|scripts|tests)/[\w./-]+\w", PAGE))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_each_overlay_is_in_the_table() -> None:
    assert set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)) == set(OVERLAYS)


def test_the_versions_are_those_that_are_validated() -> None:
    assert f"Kubernetes {SUPPORTED[0]} to {SUPPORTED[-1]}" in PAGE


def test_each_object_of_a_command_exists() -> None:
    known = {name.lower() for build in (*OVERLAYS, "loadtest") for name in built(build).names()} | {"pod/redis-restore"}
    known |= {"job/ledger-backup-now"}  # made by the command before
    named = set(re.findall(r"\b(?:deployment|statefulset|service|cronjob|job|pod)/[a-z-]+\b(?!=)", COMMANDS))
    assert named - known == set()


def test_a_shell_can_read_every_command() -> None:
    text = COMMANDS.partition("<<'POD'")[0] + COMMANDS.partition("\nPOD\n")[2]
    for line in text.replace("\\\n", " ").splitlines():
        shlex.split(line)


def test_the_pod_for_a_restore_is_one_that_the_namespace_admits() -> None:
    pod = yaml.safe_load(re.search(r"<<'POD'\n(.*?)\nPOD\n", COMMANDS, re.DOTALL)[1])  # type: ignore[index]
    objections = set(restricted(_Single("docs", (pod,))))
    assert {objection for objection in objections if "token" not in objection and "root" not in objection} == set()
    claim = pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == "data-redis-master-0"


class _Single(Manifests):
    """A bare pod in place of templates."""

    def pods(self) -> list[Pod]:
        return [Pod("docs", {}, each["spec"]) for each in self.objects]
