#!/bin/sh
# Write the Secrets of a new installation to stdout, with random keys:
#
#   scripts/k8s-secrets.sh | kubectl create --namespace identity-dev -f -
#   DATABASE_URL=postgresql://... scripts/k8s-secrets.sh | kubectl create --namespace identity -f -
#
# Use `create`, which refuses to replace existing Secrets: another JWT_SECRET would invalidate every token. The environment
# may set DATABASE_URL, and REDIS_URL of a Redis outside the cluster; both are used unchanged.
set -eu

# Print a number of random bytes as one line of text.
random() {
	head -c "$1" /dev/urandom | base64 | tr -d '\n'
}

# entry KEY VALUE: a row of a Secret. Base64 has no character that YAML would read otherwise.
entry() {
	printf '  %s: %s\n' "$1" "$(printf %s "$2" | base64 | tr -d '\n')"
}

# secret NAME: the head of a Secret, to be followed by its entries.
secret() {
	printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\ndata:\n' "$1"
}

if [ -z "${REDIS_URL:-}" ]; then
	# "/", "+" and "=" would have to be escaped in the URL
	password=$(random 36 | tr '/+' '_-')
	REDIS_URL=redis://:$password@redis-master:6379/0
	secret redis-auth
	entry password "$password"
fi
secret identity-secrets
entry JWT_SECRET "$(random 48)"
entry REDIS_URL "$REDIS_URL"
[ -z "${DATABASE_URL:-}" ] || entry DATABASE_URL "$DATABASE_URL"
