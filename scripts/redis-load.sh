#!/bin/sh
# Replace all data of a Redis by an RDB file from stdin. Runs on the machine (in the container) of that Redis; the
# arguments are redis-cli's options for it.
#
# The running Redis loads the file as a replica of a second, short-lived Redis. So its directory and append-only file are
# not touched, and it is not restarted. Meanwhile it refuses writes; the service continues as in any outage. Not for a
# Redis that Sentinel watches, which would interfere.
set -eu

WAIT=${WAIT:-300} # seconds, for loading and for replicating

# The password comes from the environment of Redis. In REDIS_URL it is read unchanged, without decoding escapes.
userinfo=${REDIS_URL:-}
userinfo=${userinfo#*://}
case $userinfo in *@*) userinfo=${userinfo%@*} ;; *) userinfo=: ;; esac
: "${REDISCLI_AUTH:=${REDIS_PASSWORD:-${userinfo#*:}}}"
if [ -n "$REDISCLI_AUTH" ]; then export REDISCLI_AUTH; else unset REDISCLI_AUTH; fi

options=$*
# shellcheck disable=SC2086 # options are words
target() { redis-cli $options "$@"; }
setting() { target --raw CONFIG GET "$1" | tail -n 1; }

fail() {
	echo "redis-load: $*" >&2
	exit 1
}

[ "$(target PING)" = PONG ] || fail "Redis does not answer"

# /tmp of a container may be read-only; then use the directory of Redis.
directory=$(mktemp -d "${TMPDIR:-/tmp}/redis-load.XXXXXX" 2>/dev/null) ||
	directory=$(mktemp -d "$(setting dir)/redis-load.XXXXXX") || fail "there is no directory to write to"
source=
handing_over=
# Without this, a Redis without persistence would keep the transferred file and load it at a later restart.
sync_files=$(setting rdb-del-sync-files)
# Wait until it has ended: it writes its last log lines into the directory that is removed next.
stop_source() {
	[ -n "$source" ] || return 0
	kill "$source" 2>/dev/null || true
	wait "$source" 2>/dev/null || true
}
clean_up() {
	[ -z "$handing_over" ] || target REPLICAOF NO ONE >/dev/null || true
	[ -z "$sync_files" ] || target CONFIG SET rdb-del-sync-files "$sync_files" >/dev/null || true
	stop_source
	rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

cat >"$directory/dump.rdb"
[ "$(head -c 5 "$directory/dump.rdb")" = REDIS ] || fail "what came is no RDB file"

# A Redis with masterauth uses it for this one, too. The configuration goes through stdin, so `ps` does not show it.
password=$(setting masterauth)
start_source() {
	{
		printf 'port %s\nbind 127.0.0.1\ndir "%s"\nlogfile "%s/log"\n' "$port" "$directory" "$directory"
		printf 'save ""\nappendonly no\ndaemonize no\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\n'
		[ -z "$password" ] || printf 'requirepass "%s"\n' "$password"
	} >"$directory/conf"
	redis-server - <"$directory/conf" >"$directory/out" 2>&1 &
	source=$!
}
last_words() { tail -n 1 "$directory/log" 2>/dev/null || cat "$directory/out"; }

# until_true CONDITION: wait up to WAIT seconds; 1 if the second Redis ends before.
until_true() {
	tries=$((WAIT * 5))
	until "$1"; do
		kill -0 "$source" 2>/dev/null || return 1
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || fail "it took longer than $WAIT s"
		sleep 0.2
	done
}
has_loaded() {
	[ "$(REDISCLI_AUTH=$password redis-cli -h 127.0.0.1 -p "$port" PING 2>/dev/null)" = PONG ]
}
has_taken_over() {
	[ "$(target INFO replication | grep -c '^master_link_status:up\|^master_sync_in_progress:0')" -eq 2 ]
}
# The append-only file is rewritten in the background: until then a restart would load the old one.
is_on_the_disk() {
	[ "$(target INFO persistence | grep -c '^aof_rewrite_in_progress:0\|^aof_rewrite_scheduled:0')" -eq 2 ]
}

# Below the kernel's ephemeral ports; another one if it is in use.
attempt=0
port=$((20000 + $$ % 10000))
start_source
until until_true has_loaded; do
	case $(last_words) in *'Failed listening'*) attempt=$((attempt + 1)) ;; *) attempt=10 ;; esac
	[ "$attempt" -lt 10 ] || fail "the file can't be loaded: $(last_words)"
	port=$((20000 + (port + 997) % 10000))
	start_source
done
handing_over=yes
target CONFIG SET rdb-del-sync-files yes >/dev/null
target REPLICAOF 127.0.0.1 "$port" >/dev/null
until_true has_taken_over || fail "the second Redis has ended: $(last_words)"
[ "$(target REPLICAOF NO ONE)" = OK ] || fail "Redis stays a replica: send it REPLICAOF NO ONE"
handing_over=
until_true is_on_the_disk || fail "the append-only file may be an old one: send Redis BGREWRITEAOF"
target INFO keyspace | tr -d '\r' | sed -n 's/^\(db[0-9]*\):keys=\([0-9]*\).*/restored: \2 keys in \1/p' >&2
