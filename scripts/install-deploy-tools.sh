#!/bin/sh
# Install the tools that check the deployment (make verify-deploy).
set -eu

here=$(dirname "$0")
missing=0

"$here/need.sh" shellcheck jq fish haproxy busybox caddy chromium/chromium-browser/google-chrome:chromium buildah debootstrap node:nodejs npm redis-cli:redis-tools \
	pg_dump:postgresql-client prometheus promtool:prometheus prometheus-alertmanager \
	amtool:prometheus-alertmanager || missing=1
"$here/install-kubectl.sh" || missing=1

exit "$missing"
