#!/bin/sh
# Install the programs that benchmark, load test and their tests need besides redis-server.
set -eu

exec "$(dirname "$0")/need.sh" wrk taskset:util-linux
