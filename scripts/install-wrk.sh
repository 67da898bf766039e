#!/bin/sh
# Make sure that there is wrk, a load generator. An installed one is left as it is. Exit 1 and a sentence where it
# can't be installed.
set -eu

command -v wrk >/dev/null && exit 0
if "$(dirname "$0")/install-debian.sh" wrk && command -v wrk >/dev/null; then
	exit 0
fi
echo "wrk is missing and can't be installed from here (on Debian and Ubuntu: package wrk)." >&2
exit 1
