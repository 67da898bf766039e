#!/bin/sh
# Install one Debian package, as root or by sudo without a password; exit 1 if that is not possible.
# usage: install-debian.sh PACKAGE
set -eu

package=$1
command -v apt-get >/dev/null || exit 1
if [ "$(id -u)" -eq 0 ]; then
	as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root='sudo -n'
else
	exit 1
fi
echo "installing $package with apt-get" >&2
# A new machine has no package lists, or old ones.
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >&2 && exit 0
$as_root apt-get update -qq >&2
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >&2
