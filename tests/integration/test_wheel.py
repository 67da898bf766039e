"""The wheel has everything that the service needs, and runs outside of the source tree."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urljoin

import pytest

import arsenal_fast
from tests.support.http_client import clients
from tests.support.loops import run
from tests.support.service import ServiceProcess, command

pytestmark = pytest.mark.integration

SOURCE = Path(arsenal_fast.__file__).parents[1]
PARTS = ("arsenal_fast", "pyproject.toml", "LICENSE")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """``arsenal-fast`` of a new environment that has the wheel, and the dependencies of the one that tests."""
    directory = tmp_path_factory.mktemp("wheel")
    wheel = build(directory)
    venv.create(directory / "venv", with_pip=False)
    python = str(directory / "venv" / "bin" / "python")
    run_tool("-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (site,) = (directory / "venv" / "lib").glob("python3*/site-packages")
    # Its .pth files are not read there, so the editable installation of the project is not seen.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    told = run_tool("-c", "import arsenal_fast; print(arsenal_fast.__file__)", python=python, cwd=directory)
    assert Path(told.strip()).is_relative_to(directory), "the wheel is what runs, not the source tree"
    return str(directory / "venv" / "bin" / "arsenal-fast")


def build(directory: Path) -> Path:
    """Build from a copy, so that the source tree stays clean."""
    source = directory / "source"
    source.mkdir()
    for part in PARTS:
        if (SOURCE / part).is_dir():
            shutil.copytree(SOURCE / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(SOURCE / part, source / part)
    # An isolated build fetches the build backend, which takes seconds; a new enough one may be here already.
    isolation = ["--no-isolation"] if has_backend() else []
    run_tool("-m", "build", "--wheel", *isolation, "--outdir", str(directory / "dist"), str(source))
    (wheel,) = (directory / "dist").glob("arsenal_fast-*.whl")
    assert wheel.name == f"arsenal_fast-{arsenal_fast.__version__}-py3-none-any.whl"
    return wheel


def has_backend() -> bool:
    """Whether the build backend is here, and new enough; environments have none from Python 3.12 on."""
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except PackageNotFoundError:
        return False


def run_tool(*arguments: str, python: str = sys.executable, cwd: Path | None = None) -> str:
    """What it wrote to stdout."""
    done = subprocess.run([python, *arguments], capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_of_the_wheel_work(program: str) -> None:
    shown = command("--version", program=[program])
    assert (shown.returncode, shown.stdout) == (0, f"arsenal-fast {arsenal_fast.__version__}\n")
    check = command("check", program=[program])
    assert check.returncode == 0
    assert "RATE_LIMIT_REQUESTS" in check.stdout
    document = command("openapi", program=[program])
    assert document.returncode == 0
    assert json.loads(document.stdout)["openapi"].startswith("3.1.")


def test_the_service_of_the_wheel_has_its_scripts_and_pages(program: str) -> None:
    async def scenario(port: int) -> None:
        async with clients(port, 1) as (client,):
            issued = await client.get("/api/v1/id?prefix=player&run=1")
            assert (issued.status, issued.json["id"]) == (200, "player-1@sports.api.yourbook.com/v1:id")
            page = await client.get("/api/docs")
            assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            files = [urljoin("/api/docs", link) for link in re.findall(r'(?:href|src)="([^":]+)"', page.text)]
            assert {"/api/docs/swagger-ui.css", "/api/docs/swagger-ui-bundle.js"} <= set(files)
            for file in files:
                answer = await client.get(file)
                assert (answer.status, bool(answer.body)) == (200, True), file
            assert (await client.get("/api/health", Accept="text/html")).status == 200
            assert (await client.get("/api/metrics")).status == 200

    with ServiceProcess(program=[program]) as service:
        run(scenario(service.port))


def test_the_wheel_has_the_scripts_of_redis(program: str) -> None:
    (package,) = Path(program).parents[1].glob("lib/python3*/site-packages/arsenal_fast")
    scripts = {path.relative_to(package) for path in package.rglob("*.lua")}
    assert scripts == {path.relative_to(SOURCE / "arsenal_fast") for path in (SOURCE / "arsenal_fast").rglob("*.lua")}
    assert scripts
