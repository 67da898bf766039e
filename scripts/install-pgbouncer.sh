#!/bin/sh
# Make sure that there is a PgBouncer: the tests start their own, on free ports, and stop them.
# An installed one is left as it is. Exit 1 and a sentence where it can't be installed.
set -eu

found() {
	PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null
}

found && exit 0
if "$(dirname "$0")/install-debian.sh" pgbouncer && found; then
	exit 0
fi
cat >&2 <<'MESSAGE'
PgBouncer is missing and can't be installed from here. The tests need it: please install it, then run this again.
  Debian, Ubuntu:  sudo apt-get install pgbouncer
  Fedora:          sudo dnf install pgbouncer
  Alpine:          sudo apk add pgbouncer
  macOS:           brew install pgbouncer
Without it: make unit
MESSAGE
exit 1
