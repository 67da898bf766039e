#!/bin/sh
# Verify a built wheel: a second build gives the same bytes, and with only the locked dependencies it starts and has the
# version of this source.
# usage: verify-wheel.sh PYTHON WHEEL
set -eu

python=$1
wheel=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

scripts/build-wheel.sh "$python" "$work/again" >/dev/null
cmp "$wheel" "$work/again/$(basename "$wheel")"

"$python" -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
pip install --require-hashes -r requirements/build.lock # quantile-python has no wheel and needs it
pip install --require-hashes --no-deps --no-build-isolation -r requirements/runtime.lock
pip install --no-deps --no-index "$wheel"
pip check
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' arsenal_fast/__init__.py)
cd "$work" # where the source can't be imported instead of the wheel
[ "$("$work/venv/bin/arsenal-fast" --version | sed 's/.* v*//')" = "$version" ] || {
	echo "the wheel is not of version $version" >&2
	exit 1
}
"$work/venv/bin/arsenal-fast" openapi >/dev/null
echo "$wheel is sound"
