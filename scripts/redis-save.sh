#!/bin/sh
# Write all data of a Redis to stdout, as a consistent RDB file. Runs on the machine of that Redis or any that can reach
# it; the arguments are redis-cli's options for it.
#
# redis-cli requests the data as a replica does: Redis writes nothing to its own disk and does not block as with SAVE. The
# file may be followed by the 40 bytes that marked its end; they are ignored when it is loaded.
set -eu

# The password comes from the environment of Redis. In REDIS_URL it is read unchanged, without decoding escapes.
userinfo=${REDIS_URL:-}
userinfo=${userinfo#*://}
case $userinfo in *@*) userinfo=${userinfo%@*} ;; *) userinfo=: ;; esac
: "${REDISCLI_AUTH:=${REDIS_PASSWORD:-${userinfo#*:}}}"
if [ -n "$REDISCLI_AUTH" ]; then export REDISCLI_AUTH; else unset REDISCLI_AUTH; fi

exec redis-cli "$@" --rdb -
