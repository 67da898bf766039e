#!/usr/bin/env bash
# Install and start the Arsenal Identity Service on this machine, and check that it answers:
#
#   curl -sSL https://raw.githubusercontent.com/your-org/arsenal-identity/main/scripts/bootstrap-prod.sh | bash
#
# Checks the machine, clones the repository (or uses the clone that it is in), makes the secrets, writes
# .env.production, starts the stack, waits until it is healthy and sends the guide's requests. A second run keeps the
# secrets and all other values in .env.production. Exit status: 0 success; 1 failure, and the last line says what to do;
# 2 wrong usage.
set -euo pipefail

REPOSITORY=${ARSENAL_REPOSITORY:-https://github.com/your-org/arsenal-identity}
REF=${ARSENAL_REF:-main}
DIRECTORY=${ARSENAL_DIRECTORY:-arsenal-identity}
TIMEOUT=${ARSENAL_TIMEOUT:-180} # seconds for the containers to become healthy, the build not counted

JWT_PLACEHOLDER=change-me-to-the-output-of-openssl-rand-base64-48
REDIS_PLACEHOLDER=change-me-to-the-output-of-openssl-rand-hex-32

dry_run=false

usage() {
	cat <<'USAGE'
usage: bootstrap-prod.sh [--dry-run]
  curl -sSL .../bootstrap-prod.sh | bash -s -- --dry-run

  --dry-run   check the machine, say what would be done, and change nothing

Variables: API_BASE_URL and CORS_ORIGIN are written into a new .env.production; COMPOSE_PROFILES=monitoring,tls starts
those parts too. Outside a clone: ARSENAL_REPOSITORY (what to clone), ARSENAL_REF (main), ARSENAL_DIRECTORY
(arsenal-identity). ARSENAL_TIMEOUT: seconds to wait until all is healthy (180).
USAGE
}

# In a function, so that an incomplete download runs nothing.
main() {
	while [ $# -gt 0 ]; do
		case $1 in
		--dry-run) dry_run=true ;;
		-h | --help) usage && return ;;
		*) usage >&2 && exit 2 ;;
		esac
		shift
	done
	check_machine
	enter_clone
	write_configuration
	check_port
	start_stack
	wait_until_healthy
	verify
	say_what_is_next
}

say() { printf '%s\n' "$*"; }

fail() {
	printf 'bootstrap-prod: %s\n' "$*" >&2
	exit 1
}

# Run a command that changes something; in a dry run print it. Children don't read stdin, which may be this script.
run() {
	if $dry_run; then
		say "  would run: $*"
	else
		"$@" </dev/null
	fi
}

check_machine() {
	say "Checking the machine"
	local tool
	for tool in curl docker; do
		command -v "$tool" >/dev/null || fail "$tool is missing: please install it, then run this again."
	done
	docker compose version </dev/null >/dev/null 2>&1 ||
		fail "Docker has no compose plugin: please install it (docs.docker.com/compose/install), then run this again."
	docker info </dev/null >/dev/null 2>&1 ||
		fail "Docker does not answer: is it started, and may you use it (sudo, or the group docker)?"
}

# Enter the clone: the directory of this script, the current one, or a new one.
enter_clone() {
	local candidate candidates=(. "$DIRECTORY")
	# Piped into bash, this script has no file.
	[ ! -f "${BASH_SOURCE[0]:-}" ] || candidates=("$(dirname "${BASH_SOURCE[0]}")/.." "${candidates[@]}")
	for candidate in "${candidates[@]}"; do
		if is_clone "$candidate"; then
			cd "$candidate"
			say "Using the clone in $PWD"
			return
		fi
	done
	command -v git >/dev/null || fail "git is missing: please install it, then run this again."
	[ ! -e "$DIRECTORY" ] || fail "$DIRECTORY is there and is no clone of the service: set ARSENAL_DIRECTORY to another name."
	say "Cloning $REPOSITORY ($REF) into $DIRECTORY"
	run git clone --quiet --depth 1 --branch "$REF" "$REPOSITORY" "$DIRECTORY" || fail "$REPOSITORY can't be cloned."
	if $dry_run; then
		say "Would go on in $DIRECTORY: write .env.production, start the stack, wait until it is healthy, verify"
		exit 0
	fi
	cd "$DIRECTORY"
	is_clone . || fail "$REPOSITORY is no repository of the service: set ARSENAL_REPOSITORY."
}

is_clone() { [ -f "$1/docker-compose.yml" ] && [ -f "$1/.env.production.example" ] && [ -f "$1/Dockerfile" ]; }

# Copy the example and replace its placeholders by secrets. In an existing file only placeholders are replaced.
write_configuration() {
	local text
	if [ ! -f .env.production ]; then
		say "Writing .env.production with new secrets"
		text=$(with_variable API_BASE_URL "${API_BASE_URL:-}" <.env.production.example | with_variable CORS_ORIGIN "${CORS_ORIGIN:-}")
	elif grep -qF -e "$JWT_PLACEHOLDER" -e "$REDIS_PLACEHOLDER" .env.production; then
		say "Putting new secrets in place of the examples in .env.production"
		text=$(cat .env.production)
	else
		say "Keeping .env.production"
		run chmod 600 .env.production
		return
	fi
	if $dry_run; then
		say "  would write .env.production, readable by you alone"
		return
	fi
	text=${text/"$JWT_PLACEHOLDER"/$(random 48 | base64 | tr -d '\n')}
	text=${text/"$REDIS_PLACEHOLDER"/$(random 32 | od -An -v -tx1 | tr -d ' \n')}
	# Write a new file and rename it: never an incomplete file, never one that others can read.
	(umask 077 && printf '%s\n' "$text" >.env.production.new)
	mv .env.production.new .env.production
}

# with_variable NAME VALUE: stdin with the variable's line replaced; unchanged if the value is empty.
with_variable() {
	local line
	while IFS= read -r line; do
		case $line in
		"$1="*) [ -z "$2" ] || line="$1=$2" ;;
		esac
		printf '%s\n' "$line"
	done
}

random() { head -c "$1" /dev/urandom; }

# value NAME: from .env.production; the last line wins and quotes are removed, as in Docker Compose.
value() {
	local file=.env.production
	[ -f "$file" ] || file=.env.production.example
	sed -n "s/^$1=//p" "$file" | tail -n 1 | sed -e 's/^"\(.*\)"$/\1/' -e "s/^'\(.*\)'$/\1/"
}

check_port() {
	local port
	port=$(value PORT)
	[ -n "$(docker compose ps --quiet identity-service </dev/null 2>/dev/null)" ] && return
	if (exec 3<>"/dev/tcp/127.0.0.1/${port:-3655}") 2>/dev/null; then
		fail "Port ${port:-3655} is in use: stop what listens there, or change PORT in $PWD/.env.production."
	fi
}

start_stack() {
	say "Starting the stack (the first time the image is built, which takes minutes)"
	run docker compose up -d || fail "docker compose up failed: its last lines say why."
}

url() {
	local port
	port=$(value PORT)
	printf 'http://localhost:%s' "${port:-3655}"
}

wait_until_healthy() {
	$dry_run && return
	say "Waiting until it is healthy"
	local deadline=$((SECONDS + TIMEOUT))
	until health | grep -q '"status":"healthy"'; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			docker compose ps </dev/null >&2 || true
			docker compose logs --tail 20 identity-service redis </dev/null >&2 || true
			fail "Not healthy after $TIMEOUT s: the lines above are the last that the containers wrote."
		fi
		sleep 1
	done
}

health() { curl -sS --max-time 5 "$(url)/api/health" </dev/null 2>/dev/null || true; }

# Send the guide's requests. A spent rate limit (429) is no failure: the service answers.
verify() {
	$dry_run && return
	say "Verifying"
	local path
	for path in /api/health "/api/v1/id?prefix=test" "/api/v1/id?prefix=player&run=test"; do
		local status
		status=$(curl -sS --max-time 10 --output /dev/null --write-out '%{http_code}' "$(url)$path" </dev/null) || true
		case $status in
		200 | 429) say "  $status  $(url)$path" ;;
		*) fail "$(url)$path is answered $status and not 200: docker compose logs identity-service" ;;
		esac
	done
}

say_what_is_next() {
	if $dry_run; then
		say "Nothing was changed."
		return
	fi
	cat <<NEXT

The service is up:  curl "$(url)/api/v1/id?prefix=player&run=test"

Next, in $PWD:
  1. Put your host and your web origin into .env.production (API_BASE_URL is $(value API_BASE_URL),
     CORS_ORIGIN is $(value CORS_ORIGIN)) and run docker compose up -d again. Keep that file as you keep keys.
  2. TLS: docker compose --profile tls up -d gets a certificate for the host of API_BASE_URL, which must
     point to this machine. Behind a proxy of your own, name it in TRUSTED_PROXIES.
  3. Dashboards and alerts: docker compose --profile monitoring up -d, then http://localhost:3000 (Grafana).
  4. A token for your backend, with a limit of its own:
     docker compose exec identity-service arsenal-fast token --subject sports-book --scope issue,revoke --rate-limit 1000000
NEXT
}

main "$@"
