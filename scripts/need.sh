#!/bin/sh
# Install missing programs. Installed ones are not changed. Names each that can't be installed; exit 1 if there is any.
# usage: need.sh COMMAND[:PACKAGE]...     the Debian package of the command, if its name differs
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
