#!/bin/sh
# Run a program of the Redis image with the password in REDIS_URL, so that the service and Redis share one setting.
# usage: run.sh server [OPTION...] | run.sh cli [ARGUMENT...]
#
# The server reads the password from its standard input and redis-cli from its environment, so that no list of
# processes shows it.
set -eu

refuse() {
	echo "$*" >&2
	exit 78
}

# redis://[user]:password@host[:port][/database]
userinfo=${REDIS_URL#*://}
case $userinfo in
*@*) userinfo=${userinfo%@*} ;;
*) refuse "REDIS_URL has no password: write it as redis://:PASSWORD@redis:6379/1." ;;
esac
password=${userinfo#*:}
case $password in
change-me*) refuse "REDIS_URL has the example's password: put in the output of openssl rand -hex 32." ;;
*[!A-Za-z0-9._~-]* | '') refuse "The password in REDIS_URL can have letters, digits and . _ ~ - here, and no escapes." ;;
esac
case $userinfo in
:*) ;;
*) refuse "REDIS_URL names a user, but the Redis of this stack has only a password: redis://:PASSWORD@redis:6379/1." ;;
esac

program=$1
shift
case $program in
server)
	unset REDIS_URL
	exec redis-server "$(dirname "$0")/redis.conf" "$@" - <<-CONFIGURATION
		requirepass $password
	CONFIGURATION
	;;
cli)
	REDISCLI_AUTH=$password exec redis-cli "$@"
	;;
*)
	refuse "usage: run.sh server [OPTION...] | run.sh cli [ARGUMENT...]"
	;;
esac
