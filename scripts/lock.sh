#!/bin/sh
# Pin the image's dependencies with the hashes of all files of each release: requirements/runtime.lock has the packages
# that the service imports (with the extras for PostgreSQL, Ed25519 and OpenTelemetry), requirements/build.lock those
# that build its wheel. Takes the newest versions that pyproject.toml allows; for any platform and any Python from 3.11 on.
# usage: lock.sh BIN (the directory that has python and uv)
set -eu

cd "$(dirname "$0")/.."
bin=$1

# pin LOCK INPUT [OPTION...]
pin() {
	lock=$1
	shift
	"$bin/uv" pip compile --quiet --no-config --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --output-file "$lock" "$@"
}

pin requirements/runtime.lock pyproject.toml --extra postgresql --extra eddsa --extra otel
"$bin/python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' |
	pin requirements/build.lock -
