"""The image built from the Dockerfile, and containers of it, without a container engine.

buildah builds by chroot isolation on a Debian that debootstrap makes, so no registry of images is needed. A container
here is the image's root file system with the image's own user, environment, directory and entrypoint: process 1 of
its own PID namespace, the root read-only, no new privileges, and a directory of ours as its volume. Unreal about it:
the network is the machine's, /tmp is not writable (an engine could mount one), and there is no memory limit.
No pytest in here.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.service import ServiceProcess, free_port

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"  # Debian 12: the oldest whose own Python is new enough
TOOLS = ("buildah", "debootstrap", "unshare", "setpriv", "chroot")

# What a build needs of this machine to reach the package registries as this machine does.
_MACHINE = ("/etc/ssl/certs", "/etc/pip.conf")

# Where the official Python images have pip. Debian has none: so these stand-ins show that the Dockerfile removes it.
_PIP_OF_THE_OFFICIAL_IMAGES = (
    "usr/local/bin/pip3",
    "usr/local/lib/python3.11/site-packages/pip/__init__.py",
    "usr/local/lib/python3.11/ensurepip/__init__.py",
)

# $1 root, $2 volume below it, $3 directory of the volume, $4 user; then the command.
_ENTER = """
root=$1 volume=$2 directory=$3 user=$4
shift 4
mount --bind "$root" "$root"
mount --bind "$directory" "$root$volume"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" "$@"
"""


class Builder:
    """buildah with a storage of its own below ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        storage: list[str | Path] = ["--root", directory / "storage", "--runroot", directory / "run"]
        self._options = [*storage, "--storage-driver", "vfs"]

    def buildah(self, command: str, *arguments: str | Path, cwd: Path = ROOT) -> str:
        """What it wrote to stdout; RuntimeError with the end of what it said."""
        return _run(["buildah", *self._options, command, *arguments], cwd)

    def make_bases(self) -> tuple[str, str]:
        """Names of two images of Debian: with its python3, and with the venv module too, to build with."""
        debian = self._directory / "debian"
        _run(["debootstrap", "--variant=minbase", "--include=python3", SUITE, debian], ROOT)
        for path in _PIP_OF_THE_OFFICIAL_IMAGES:
            (debian / path).parent.mkdir(parents=True, exist_ok=True)
            (debian / path).touch()
        container = self.buildah("from", "scratch").strip()
        self.buildah("add", "--quiet", container, debian, "/")
        shutil.rmtree(debian)
        self.buildah("commit", "--quiet", "--format", "docker", container, "localhost/base")
        install = ("apt-get", "install", "-qq", "-y", "--no-install-recommends", "python3-venv")
        self.buildah("run", "--isolation", "chroot", container, "--", *install)
        self.buildah("commit", "--quiet", "--format", "docker", container, "localhost/build")
        self.buildah("rm", container)
        return "localhost/base", "localhost/build"

    def build(self, base: str, build: str, **build_arguments: str) -> "Image":
        """The image of the Dockerfile on these bases."""
        values = {"BASE_IMAGE": base, "BUILD_IMAGE": build, **build_arguments}
        options = [f"--build-arg={name}={value}" for name, value in values.items()]
        options += [f"--volume={path}:{path}:ro" for path in _MACHINE if os.path.exists(path)]
        # The format of OCI has no health check.
        self.buildah("bud", "--isolation", "chroot", "--format", "docker", *options, "--tag", "localhost/identity", ".")
        inspected = json.loads(self.buildah("inspect", "--type", "image", "localhost/identity"))
        container = self.buildah("from", "localhost/identity").strip()
        return Image(Path(self.buildah("mount", container).strip()), inspected["Docker"]["config"])


class Image:
    """``root`` is its file system, ``config`` what the image says of itself (Docker's names)."""

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        self.root = root
        self.config = config

    @property
    def uid_and_gid(self) -> tuple[int, int]:
        uid, _, gid = self.config["User"].partition(":")
        return int(uid), int(gid)

    @property
    def volume(self) -> str:
        (volume,) = self.config["Volumes"]
        return str(volume)

    def command(
        self, directory: Path, env: Mapping[str, str], arguments: Sequence[str], user: str | None = None
    ) -> list[str]:
        """The command of this machine that runs ``arguments`` in a container with ``directory`` as its volume."""
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in env.items())]
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-ec", _ENTER, "sh"),
            *(str(self.root), self.volume, str(directory), user or self.config["User"]),
            *("/usr/bin/env", "--ignore-environment", f"--chdir={self.config['WorkingDir']}", *variables),
            *arguments,
        ]

    def run(
        self, directory: Path, *arguments: str, user: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command in a container to its end."""
        command = self.command(directory, env, arguments, user)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class Container(ServiceProcess):
    """The service as the image starts it; signals go to the process inside."""

    def __init__(self, image: Image, directory: Path, **env: str) -> None:
        port = str(free_port())
        super().__init__(program=image.command(directory, {**env, "PORT": port}, image.config["Entrypoint"]), PORT=port)
        assert image.config["Cmd"] == ["serve"], "ServiceProcess says serve, as the image does"

    @property
    def pid(self) -> int:
        """Of the first process inside, as this machine sees it."""
        outer = super().pid
        return int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)


def _run(command: Sequence[str | Path], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} exits with {done.returncode}: {(done.stdout + done.stderr)[-4000:]}")
    return done.stdout
