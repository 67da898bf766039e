"""``make peers``: builds what the rivals need beyond pip, in ``.build`` and ``javascript/node_modules``.

What can't be had leaves its rival out, with the reason; the others are made all the same. Programs and libraries that
are missing come from Debian's packages, Bun from npm in the version of ``package-lock.json``.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import BenchError
from bench.peers import BUILT, HERE, JAVASCRIPT

INSTALL = HERE.parent.parent / "scripts" / "install-debian.sh"
GO_SOURCES = Path("/usr/share/gocode")  # where Debian's golang-*-dev packages put libraries: a GOPATH
GO_LIBRARIES = {
    "fasthttp": ("valyala/fasthttp", "golang-github-valyala-fasthttp-dev"),
    "fastjson": ("valyala/fastjson", "golang-github-valyala-fastjson-dev"),
    "redigo": ("gomodule/redigo", "golang-github-gomodule-redigo-dev"),
}


def run(*command: str, directory: Path = HERE, **environment: str) -> str:
    """What the command prints on stdout. Raises BenchError with its last words when it fails."""
    done = subprocess.run(
        command, cwd=directory, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command[:2])} failed: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def need(what: str, there: Callable[[], bool], package: str) -> None:
    """Install the Debian package unless it is there. Raises BenchError where that can't be done."""
    if not there():
        subprocess.run([INSTALL, package], stdout=sys.stderr, check=False)
    if not there():
        raise BenchError(f"{what} is not installed (Debian and Ubuntu: {package})")


def need_program(program: str, package: str) -> None:
    need(program, lambda: shutil.which(program) is not None, package)


def fasthttp() -> None:
    """Compiled from Debian's sources of the libraries, so that no module has to be downloaded."""
    need_program("go", "golang-go")
    for name, (path, package) in GO_LIBRARIES.items():
        need(name, (GO_SOURCES / "src" / "github.com" / path).is_dir, package)
    cache = str(BUILT / "go-cache")
    build = ("go", "build", "-trimpath", "-o", str(BUILT / "fasthttp"), ".")
    run(*build, directory=HERE / "fasthttp", GO111MODULE="off", GOPATH=str(GO_SOURCES), GOFLAGS="", GOCACHE=cache)
    asked = "${source:Upstream-Version}"
    versions = [f"{name} {run('dpkg-query', '-Wf', asked, package)}" for name, (_, package) in GO_LIBRARIES.items()]
    (BUILT / "fasthttp.versions").write_text(", ".join(versions) + "\n")


def bun() -> None:
    """Bun itself is a package of npm: the one with the binary for this machine. No install script has to run."""
    need_program("npm", "npm")
    lock, installed = JAVASCRIPT / "package-lock.json", JAVASCRIPT / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", directory=JAVASCRIPT)
    found = sorted(JAVASCRIPT.glob("node_modules/@oven/bun-*/bin/bun"))
    if not found:
        raise BenchError("npm has no bun for this machine")
    link = BUILT / "bun"
    link.unlink(missing_ok=True)
    link.symlink_to(found[0])


RECIPES: Mapping[str, Callable[[], None]] = {"bun": bun, "fasthttp": fasthttp}


def main() -> int:
    """Never fails: a benchmark with fewer rivals is still one."""
    BUILT.mkdir(exist_ok=True)
    for name, make in RECIPES.items():
        try:
            make()
            print(f"{name}: built")
        except BenchError as fault:
            print(f"{name}: left out: {fault}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
