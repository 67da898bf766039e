#!/bin/sh
# Make sure that there are programs. What is installed is left as it is. Each that is missing and can't be installed
# is named; exit 1 when there is any.
# usage: need.sh COMMAND[:PACKAGE]...     the Debian package that has the command, where its name is another
set -eu

missing=0
for wanted; do
	command=${wanted%%:*}
	package=${wanted##*:}
	command -v "$command" >/dev/null && continue
	"$(dirname "$0")/install-debian.sh" "$package" && command -v "$command" >/dev/null && continue
	echo "$command is missing and can't be installed from here (on Debian and Ubuntu: package $package)." >&2
	missing=1
done
exit "$missing"
