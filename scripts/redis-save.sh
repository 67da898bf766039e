#!/bin/sh
# Write all that a Redis holds to stdout, as an RDB file of one moment. Runs where that Redis runs, or anywhere that
# reaches it; the arguments are redis-cli's options for it.
#
# redis-cli asks as a replica does: nothing is written on Redis's own disk, and nobody waits as with SAVE. Behind the
# file's end may stand the 40 octets by which the end was marked; who loads the file does not read them.
set -eu

# The password: from the environment of whoever runs Redis. Of REDIS_URL it is taken as it stands, without escapes.
userinfo=${REDIS_URL:-}
userinfo=${userinfo#*://}
case $userinfo in *@*) userinfo=${userinfo%@*} ;; *) userinfo=: ;; esac
: "${REDISCLI_AUTH:=${REDIS_PASSWORD:-${userinfo#*:}}}"
if [ -n "$REDISCLI_AUTH" ]; then export REDISCLI_AUTH; else unset REDISCLI_AUTH; fi

exec redis-cli "$@" --rdb -
