#!/bin/sh
# Pin third-party images, which Dockerfile, docker-compose.yml and k8s/ name by tag, to the current digests of the tags:
# name:tag becomes name:tag@sha256:..., an older digest is replaced. Needs the registries, and skopeo, crane or docker
# buildx. Review the difference before committing it; from then on Dependabot updates tag and digest.
# usage: pin-images.sh [--check]      --check: change nothing, list what has no digest, exit 1 if there is any
set -eu

cd "$(dirname "$0")/.."
files="Dockerfile docker-compose.yml $(find k8s -name '*.yaml' | sort)"

# The references without a digest in a file, except the service's own image, which does not exist before it is built.
references() {
	# shellcheck disable=SC2086 # options are words
	sed -nE -e 's/^ARG BASE_IMAGE=([^ ]+)$/\1/p' -e 's/^ *(- )?image: ([^ ]+)$/\2/p' $1 | grep -v -e '\$' -e arsenal-identity || true
}

# digest NAME:TAG: of the index of all platforms where there is one.
digest() {
	if command -v skopeo >/dev/null; then
		skopeo inspect --no-tags --format '{{.Digest}}' "docker://$1"
	elif command -v crane >/dev/null; then
		crane digest "$1"
	else
		docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}'
	fi
}

if [ "${1:-}" = --check ]; then
	bare=$(references "$files" | grep -v '@sha256:' | sort -u || true)
	[ -n "$bare" ] || exit 0
	echo "$bare"
	exit 1
fi

# Find all digests before changing a file.
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
for image in $(references "$files" | sed 's/@.*//' | sort -u); do
	# Docker's short names refer to Docker Hub.
	case $image in
	*.*/*) full=$image ;;
	*/*) full=docker.io/$image ;;
	*) full=docker.io/library/$image ;;
	esac
	found=$(digest "$full")
	printf %s "$found" | grep -qxE 'sha256:[0-9a-f]{64}' || {
		echo "pin-images: no digest of $image: $found" >&2
		exit 1
	}
	escaped=$(printf %s "$image" | sed 's/[.]/\\./g')
	printf 's#(^ARG BASE_IMAGE=|image: )%s(@sha256:[0-9a-f]+)?$#\\1%s@%s#\n' "$escaped" "$image" "$found" >>"$pins"
	echo "$image@$found"
done
for file in $files; do
	sed -E -f "$pins" "$file" >"$pins.new"
	cmp -s "$file" "$pins.new" || cat "$pins.new" >"$file" # keeps its permissions
	rm "$pins.new"
done
