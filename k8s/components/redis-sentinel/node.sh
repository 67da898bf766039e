#!/bin/sh
# Run Redis or a sentinel of a set that watches itself.
# usage: node.sh redis|sentinel [OPTION...]
#
# HOSTS: those of Redis, between blanks. SENTINELS: those of the sentinels, the same by default. SELF: this one.
# REDISCLI_AUTH: the password of all; by default that of REDIS_URL.
# What starts asks the sentinels for the master, and follows it. Where none answers, the set is new or was all stopped:
# then the first host is the master.
set -eu

if [ -z "${REDISCLI_AUTH:-}" ]; then
	userinfo=${REDIS_URL#*://:}
	export REDISCLI_AUTH="${userinfo%%@*}"
fi
: "${HOSTS:?}" "${SELF:?}" "${REDISCLI_AUTH:?}"
case $REDISCLI_AUTH in
*[!A-Za-z0-9._~-]* | change-me*)
	echo "The password can have letters, digits and . _ ~ - here, and is not the example's." >&2
	exit 78
	;;
esac
port=${REDIS_PORT:-6379}
sentinel_port=${SENTINEL_PORT:-26379}

# Print the host of the master.
master() {
	for host in ${SENTINELS:-$HOSTS}; do
		named=$(timeout 2 redis-cli -h "$host" -p "$sentinel_port" --raw \
			sentinel get-master-addr-by-name identities 2>/dev/null | head -n 1)
		case $named in
		'' | *[!A-Za-z0-9.:-]*) ;; # none, or an error, which has blanks
		*)
			echo "$named"
			return
			;;
		esac
	done
	echo "${HOSTS%% *}"
}

program=$1
shift
leader=$(master)
case $program in
redis)
	follow=
	[ "$leader" = "$SELF" ] || follow="replicaof $leader $port"
	# All of it by the standard input: no list of processes shows the password, and a sentinel's CONFIG REWRITE finds no
	# file to write.
	exec redis-server "$@" --port "$port" --replica-announce-ip "$SELF" - <<-CONFIGURATION
		$(cat "$(dirname "$0")/redis.conf")
		requirepass $REDISCLI_AUTH
		masterauth $REDISCLI_AUTH
		$follow
	CONFIGURATION
	;;
sentinel)
	umask 077
	# A sentinel writes what it learns into its file. It learns it again, so a volume that lasts is not needed.
	file=${SENTINEL_FILE:-/tmp/sentinel.conf}
	cat >"$file" <<-CONFIGURATION
		port $sentinel_port
		requirepass $REDISCLI_AUTH
		sentinel sentinel-pass $REDISCLI_AUTH
		sentinel resolve-hostnames yes
		sentinel announce-hostnames yes
		sentinel announce-ip $SELF
		sentinel monitor identities $leader $port 2
		sentinel auth-pass identities $REDISCLI_AUTH
		sentinel down-after-milliseconds identities 2000
		sentinel failover-timeout identities 10000
		sentinel parallel-syncs identities 1
	CONFIGURATION
	exec redis-server "$file" --sentinel "$@"
	;;
*)
	echo "usage: node.sh redis|sentinel [OPTION...]" >&2
	exit 64
	;;
esac
