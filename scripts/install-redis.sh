#!/bin/sh
# Install redis-server if it is missing: the tests start their own servers, on free ports, and stop them.
# Exit 1 with a message if it can't be installed.
set -eu

command -v redis-server >/dev/null && exit 0
if "$(dirname "$0")/install-debian.sh" redis-server && command -v redis-server >/dev/null; then
	exit 0
fi
cat >&2 <<'MESSAGE'
redis-server is missing and can't be installed from here. The tests need it: please install it, then run this again.
  Debian, Ubuntu:  sudo apt-get install redis-server
  Fedora:          sudo dnf install redis
  Alpine:          sudo apk add redis
  macOS:           brew install redis
Without it: make unit
MESSAGE
exit 1
