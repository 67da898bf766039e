"""The Dockerfile: the image is built, and the service in it is started, called, probed and stopped."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import arsenal_fast
from tests.support.container import TOOLS, Builder, Container, Image
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PASSWORD = "a-password-of-the-tests"
REVISION = "0123456789abcdef0123456789abcdef01234567"
PLAYER = "player-123456@sports.api.yourbook.com/v1:id"

built = pytest.mark.deploy("image is built, serves, and stops", tool="buildah, debootstrap")


@pytest.mark.deploy("Dockerfile has no known trap", tool="hadolint")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([BIN / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_has_the_version_of_the_service() -> None:
    assert f"\nARG VERSION={arsenal_fast.__version__}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_only_what_the_dockerfile_copies_reaches_the_builder() -> None:
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    copied = re.findall(r"^COPY ((?:[\w./]+ )+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert let_through == {path.rstrip("/") for paths in copied for path in paths.split()}


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Built once, on a Debian made for it: about a minute."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("building without a container engine (chroot isolation, debootstrap) needs root on Linux")
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    assert not absent, f"{', '.join(absent)} missing: scripts/install-deploy-tools.sh"
    probe = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"this machine grants no mount and PID namespaces: {probe.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(prefix="af-image-") as directory:
        builder = Builder(Path(directory))
        yield builder.build(*builder.make_bases(), REVISION=REVISION)


@pytest.fixture
def volume(image: Image, tmp_path: Path) -> Path:
    """A directory as an engine makes a named volume: with the owner that the image gives it."""
    directory = tmp_path / "volume"
    directory.mkdir(mode=0o750)
    os.chown(directory, *image.uid_and_gid)
    return directory


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """The variables that production requires, with a Redis that requires a password."""
    with RedisServer("--requirepass", PASSWORD) as redis:
        yield {
            "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{redis.port}/1",
            "JWT_SECRET": "Zm9ydHktZWlnaHQgb2N0ZXRzIG9mIG5vYm9keSdzIGJ1c2luZXNz",
            "API_BASE_URL": "https://identity.api.yourbook.com",
            "CORS_ORIGIN": "https://sports.yourbook.com",
            "DRAIN_DELAY": "0",
        }


def call(url: str, body: object = None) -> Any:
    """The JSON, or the text, of an answer with 200."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
        return json.loads(text) if answer.headers["Content-Type"] == "application/json" else text


@built
def test_the_guides_calls_are_answered_from_the_image(image: Image, volume: Path, environment: dict[str, str]) -> None:
    with Container(image, volume, **environment) as container:
        health = call(f"{container.url}/api/health")
        assert health["status"] == "healthy"
        assert health["services"] == {"database": "healthy", "redis": "healthy", "api": "healthy"}
        assert health["version"] == f"v{arsenal_fast.__version__}"
        issued = call(f"{container.url}/api/v1/id?prefix=player&run=123456")
        assert issued["id"] == PLAYER
        row = {"name": "prod", "prefix": "player", "run": "123456"}
        batch = call(f"{container.url}/api/v1/identities", {"environments": [row]})
        assert [identity["id"] for identity in batch["identities"]] == [PLAYER]
        assert call(f"{container.url}/api/v1/validate", {"identity": PLAYER})["valid"] is True
        assert call(f"{container.url}/api/telemetry")["status"] == "healthy"
        assert "\nidentity_service_up 1\n" in call(f"{container.url}/api/metrics")
        assert "swagger-ui" in call(f"{container.url}/api/docs")


@built
def test_the_ledger_is_where_the_guide_backs_it_up_and_outlives_the_container(
    image: Image, volume: Path, environment: dict[str, str]
) -> None:
    with Container(image, volume, **environment) as container:
        issued = call(f"{container.url}/api/v1/id?prefix=player&run=123456")
    assert image.volume == "/app/data"
    assert (volume / "identity.db").stat().st_uid == image.uid_and_gid[0]
    with RedisServer() as empty:
        url = {"REDIS_URL": f"redis://127.0.0.1:{empty.port}/1"}
        with Container(image, volume, **{**environment, **url}) as container:
            assert call(f"{container.url}/api/v1/validate", {"identity": PLAYER})["status"] == "active"
            assert call(f"{container.url}/api/v1/id?prefix=player&run=123456") == issued


@built
def test_the_process_is_not_root_is_the_first_and_leaves_with_0_on_sigterm(
    image: Image, volume: Path, environment: dict[str, str]
) -> None:
    with Container(image, volume, **environment) as container:
        status = Path(f"/proc/{container.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        uid, gid = image.uid_and_gid
        assert set(fields["Uid"].split()) == {str(uid)}
        assert set(fields["Gid"].split()) == {str(gid)}
        assert uid != 0
        assert fields["NSpid"].split()[-1] == "1", "no shell stands between the engine's signals and the service"
        assert int(fields["CapEff"], 16) == 0
        assert container.stop() == 0


@built
@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_health_check_of_the_image_follows_the_service(
    image: Image, volume: Path, environment: dict[str, str], workers: str
) -> None:
    kind, *check = image.config["Healthcheck"]["Test"]
    assert kind == "CMD", "no shell is started for it"
    with Container(image, volume, **environment, WORKERS=workers) as container:
        port = str(container.port)
        assert image.run(volume, *check, PORT=port).returncode == 0
    gone = image.run(volume, *check, PORT=port)
    assert (gone.returncode, gone.stderr) == (1, f"127.0.0.1 port {port} does not answer: Connection refused.\n")


@built
def test_the_service_refuses_to_start_unconfigured(image: Image, volume: Path) -> None:
    done = image.run(volume, *image.config["Entrypoint"], *image.config["Cmd"])
    assert done.returncode == 78
    assert "JWT_SECRET must be set" in done.stderr


@built
def test_one_line_starts_it_in_development(image: Image, volume: Path) -> None:
    """``docker run --env NODE_ENV=development``: nothing else is set."""
    with Container(image, volume, NODE_ENV="development") as container:
        issued = call(f"{container.url}/api/v1/id?prefix=player&run=123456")
        assert call(f"{container.url}/api/v1/validate", {"token": issued["token"]})["valid"] is True
    assert (volume / "identity.db").is_file()


@built
def test_nothing_can_be_written_but_the_volume(image: Image, volume: Path) -> None:
    written = image.run(volume, "sh", "-c", "touch /app/data/yes; touch /app/no; touch /tmp/no; touch /app/venv/no")
    assert [path.name for path in volume.iterdir()] == ["yes"]
    assert written.stderr.count("Read-only file system") == 3


@built
def test_the_volume_has_the_service_as_its_owner(image: Image) -> None:
    status = (image.root / "app" / "data").stat()
    assert status.st_uid == image.uid_and_gid[0]
    others = [path for path in (image.root / "app" / "venv").rglob("*") if path.lstat().st_uid != 0]
    assert others == [], "what the service runs, it can't change"


@built
def test_any_user_of_group_0_can_keep_a_ledger(image: Image, tmp_path: Path) -> None:
    """As OpenShift runs it: by a user that the image does not know."""
    status = (image.root / "app" / "data").stat()
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, status.st_uid, status.st_gid)
    volume.chmod(status.st_mode & 0o777)
    url = {"DATABASE_URL": "sqlite:////app/data/identity.db"}
    done = image.run(volume, "arsenal-fast", "doctor", "--json", user="1000660000:0", **url, NODE_ENV="test")
    (ledger,) = [check for check in json.loads(done.stdout)["checks"] if check["check"] == "ledger"]
    assert ledger["level"] == "ok", ledger


@built
def test_there_is_no_pip_and_no_compiler(image: Image, volume: Path) -> None:
    unwanted = re.compile(r"(pip|ensurepip|setuptools|cc|c99|gcc|g\+\+|clang|tcc|as|ld|make|cargo|go)[\d.-]*(\.exe)?")
    found = [
        os.path.join(where, name)
        for where, directories, files in os.walk(image.root)
        for name in (*directories, *files)
        if unwanted.fullmatch(name) or re.match(r"(pip|setuptools)-.*(\.whl|\.dist-info)", name)
    ]
    programs = [path for path in found if os.access(path, os.X_OK) and "/bin" in path]
    assert programs == []
    assert [path for path in found if "pip" in path or "setuptools" in path] == []
    imported = image.run(volume, "python3", "-c", "import pip")
    assert "No module named 'pip'" in imported.stderr


@built
def test_the_environment_is_what_the_lock_says(image: Image, volume: Path) -> None:
    script = "import importlib.metadata as m; print(*sorted(d.name + '==' + d.version for d in m.distributions()))"
    installed = {pin.lower().replace("_", "-") for pin in image.run(volume, "python3", "-c", script).stdout.split()}
    text = (ROOT / "requirements" / "runtime.lock").read_text(encoding="utf-8")
    pins = set(re.findall(r"^[\w.-]+==[\w.]+", text, re.MULTILINE))
    assert installed - pins == {f"arsenal-fast=={arsenal_fast.__version__}"}
    here_only = {pin.partition("==")[0] for pin in pins - installed}
    assert here_only <= {"tzdata"}, "Windows alone needs it"


@built
def test_the_source_of_the_image_is_compiled(image: Image) -> None:
    (package,) = (image.root / "app" / "venv" / "lib").glob("python3*/site-packages/arsenal_fast")
    for source in package.rglob("*.py"):
        (bytecode,) = (source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")
        assert bytecode.read_bytes()[4:8] == b"\x01\x00\x00\x00", "unchecked-hash: PEP 552"


@built
def test_the_labels_say_what_it_is(image: Image) -> None:
    labels = {name: text for name, text in image.config["Labels"].items() if name.startswith("org.opencontainers")}
    assert labels == {
        "org.opencontainers.image.title": "arsenal-identity",
        "org.opencontainers.image.description": labels["org.opencontainers.image.description"],
        "org.opencontainers.image.source": arsenal_fast.REPOSITORY,
        "org.opencontainers.image.licenses": "MIT",
        "org.opencontainers.image.version": f"v{arsenal_fast.__version__}",
        "org.opencontainers.image.revision": REVISION,
    }
    assert image.config["ExposedPorts"] == {"3655/tcp": {}}
