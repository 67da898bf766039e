#!/bin/sh
# Install PostgreSQL if it is missing: the tests start their own servers, on free ports, and stop them.
# Exit 1 with a message if it can't be installed.
set -eu

# Debian keeps the server's programs in one directory for each version.
found() {
	command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
}

found && exit 0
if "$(dirname "$0")/install-debian.sh" postgresql && found; then
	exit 0
fi
cat >&2 <<'MESSAGE'
PostgreSQL is missing and can't be installed from here. The tests need it: please install it, then run this again.
  Debian, Ubuntu:  sudo apt-get install postgresql
  Fedora:          sudo dnf install postgresql-server
  Alpine:          sudo apk add postgresql
  macOS:           brew install postgresql
Without it: make unit
MESSAGE
exit 1
