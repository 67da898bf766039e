#!/bin/sh
# Make sure that there is what benchmark, load test and their tests need beside redis-server.
set -eu

exec "$(dirname "$0")/need.sh" wrk taskset:util-linux
