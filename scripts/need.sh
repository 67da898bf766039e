#!/bin/sh
# Install missing programs. Installed ones are not changed. Names each that can't be installed; exit 1 if there is any.
# usage: need.sh COMMAND[/COMMAND...][:PACKAGE]...     any of the commands; their Debian package, if its name differs
set -eu

# Is one of these there? COMMAND[/COMMAND...]
present() {
	rest=$1/
	while [ -n "$rest" ]; do
		command -v "${rest%%/*}" >/dev/null && return 0
		rest=${rest#*/}
	done
	return 1
}

missing=0
for wanted; do
	commands=${wanted%%:*}
	package=${wanted##*:}
	present "$commands" && continue
	"$(dirname "$0")/install-debian.sh" "$package" && present "$commands" && continue
	echo "$commands is missing and can't be installed from here (on Debian and Ubuntu: package $package)." >&2
	missing=1
done
exit "$missing"
