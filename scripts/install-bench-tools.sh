#!/bin/sh
# Make sure that there are wrk and taskset, which make bench and make bench-gate need beside redis-server. What is
# installed is left as it is. Each missing one is named; exit 1 when there is any.
set -eu

missing=0

# need COMMAND PACKAGE: the Debian package that has the command.
need() {
	command -v "$1" >/dev/null && return
	"$(dirname "$0")/install-debian.sh" "$2" && command -v "$1" >/dev/null && return
	echo "$1 is missing and can't be installed from here (on Debian and Ubuntu: package $2)." >&2
	missing=1
}

need wrk wrk
need taskset util-linux

exit "$missing"
