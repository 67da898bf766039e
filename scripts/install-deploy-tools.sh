#!/bin/sh
# Make sure that the tools are there with which the deployment is checked (make verify-deploy). What is installed is
# left as it is. Each missing one is named; exit 1 when there is any.
set -eu

missing=0

# need COMMAND PACKAGE: the Debian package that has the command.
need() {
	command -v "$1" >/dev/null && return
	"$(dirname "$0")/install-debian.sh" "$2" && command -v "$1" >/dev/null && return
	echo "$1 is missing and can't be installed from here (on Debian and Ubuntu: package $2)." >&2
	missing=1
}

need shellcheck shellcheck
need prometheus prometheus
need promtool prometheus
need prometheus-alertmanager prometheus-alertmanager
need amtool prometheus-alertmanager
need haproxy haproxy
need jq jq
need node nodejs
need npm npm
need redis-cli redis-tools
need pg_dump postgresql-client
need buildah buildah
need debootstrap debootstrap
need busybox busybox
need caddy caddy
"$(dirname "$0")/install-kubectl.sh" || missing=1

exit "$missing"
