#!/usr/bin/env bash
# Functions for backup.sh and restore.sh to run commands beside Redis and the service. "reach PLACE" sets
#   redis_place    the command that runs a command on the machine (in the container) of Redis
#   redis_options  redis-cli's options there
#   service_place  the command that runs a command on the machine (in the container) of the service
# PLACE is one of
#   local    both are on this machine: by REDIS_URL and DATABASE_URL, as for the service
#   compose  docker compose exec; COMPOSE, REDIS and SERVICE name others than "docker compose", redis, identity-service
#   kubectl  kubectl exec; KUBECTL, REDIS and SERVICE name others than "kubectl", redis-master (a StatefulSet or a
#            Deployment) and deployment/identity-service
# In a container Redis listens on REDIS_PORT (6379), and REDISCLI_AUTH, REDIS_PASSWORD or REDIS_URL of its own
# environment opens it.

# shellcheck disable=SC2034 # used by those who source this

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

reach() {
	local words
	redis_options=(-h 127.0.0.1 -p "${REDIS_PORT:-6379}")
	case $1 in
	local)
		redis_place=(env)
		service_place=(env)
		read_redis_url "${REDIS_URL:?is not set: where is Redis?}"
		;;
	compose)
		read -ra words <<<"${COMPOSE:-docker compose}"
		redis_place=("${words[@]}" exec -T "${REDIS:-redis}")
		service_place=("${words[@]}" exec -T "${SERVICE:-identity-service}")
		;;
	kubectl)
		read -ra words <<<"${KUBECTL:-kubectl}"
		local workload=${REDIS:-redis-master}
		if [[ $workload != */* ]]; then
			workload=$("${words[@]}" get statefulset,deployment -o name | grep -m 1 "/$workload\$") ||
				die "there is no StatefulSet or Deployment ${REDIS:-redis-master}: name it in REDIS"
		fi
		redis_place=("${words[@]}" exec -i "$workload" --)
		read -ra service_place <<<"${SERVICE:-deployment/identity-service}"
		service_place=("${words[@]}" exec -i "${service_place[@]}" --)
		;;
	*) die "the place is local, compose or kubectl, not '$1'" ;;
	esac
}

# redis://[[user]:password@]host[:port][/db], rediss://, unix://path?db=n. The password goes through the environment:
# every user of the machine can see arguments.
read_redis_url() {
	local url=$1 scheme=${1%%://*} rest=${1#*://} credentials='' user
	[[ $rest == *@* ]] && credentials=${rest%@*} rest=${rest##*@}
	case $scheme in
	redis | rediss)
		local host=${rest%%/*} port=6379
		[[ $host =~ ^(.*):([0-9]+)$ ]] && host=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
		host=${host#[} host=${host%]}
		redis_options=(-h "$host" -p "$port")
		[[ $scheme == rediss ]] && redis_options+=(--tls)
		;;
	unix) redis_options=(-s "$(decoded "${rest%%\?*}")") ;;
	*) die "REDIS_URL names no Redis: it begins with '${url%%:*}:'" ;;
	esac
	if [[ -n $credentials ]]; then
		user=${credentials%%:*}
		[[ -n $user ]] && redis_options+=(--user "$(decoded "$user")")
		REDISCLI_AUTH=$(decoded "${credentials#*:}")
		export REDISCLI_AUTH
	fi
}

# Percent-decoded; a backslash is one.
decoded() {
	local text=${1//\\/\\\\}
	printf '%b' "${text//%/\\x}"
}
