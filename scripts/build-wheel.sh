#!/bin/sh
# Build the wheel from the files in Git, with only pip and the packages of requirements/build.lock installed. The same
# commit gives the same bytes. Prints the wheel's SHA-256 and its name.
# usage: build-wheel.sh PYTHON DIRECTORY (to which the wheel goes)
set -eu

python=$1
mkdir -p "$2"
target=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: \
	-r requirements/build.lock
mkdir "$work/source"
git archive --format=tar HEAD pyproject.toml LICENSE arsenal_fast | tar -x -C "$work/source"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
"$work/tools/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation \
	--wheel-dir "$work/wheel" "$work/source"
mv "$work"/wheel/*.whl "$target/"
cd "$target"
sha256sum -- *.whl
