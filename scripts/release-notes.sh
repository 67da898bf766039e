#!/bin/sh
# Print the section of a version in CHANGELOG.md; exit 1 if there is none, or if the program has another version.
# usage: release-notes.sh v4.2.0
set -eu

version=${1#v}
cd "$(dirname "$0")/.."
if ! grep -qxF "__version__ = \"$version\"" arsenal_fast/__init__.py; then
	echo "The program is not of version $version: see arsenal_fast/__init__.py." >&2
	exit 1
fi
notes=$(awk -v head="## [$version]" '
	substr($0, 1, 4) == "## [" { inside = substr($0, 1, length(head)) == head; next }
	inside
' CHANGELOG.md)
if [ -z "$notes" ]; then
	echo "CHANGELOG.md says nothing of $version." >&2
	exit 1
fi
printf '%s\n' "$notes"
