#!/bin/sh
# Pin the images of others, which Dockerfile, docker-compose.yml and k8s/ name by tag, to the digests that the tags have
# now: name:tag becomes name:tag@sha256:..., an older digest is replaced. Needs the registries, and skopeo, crane or
# docker buildx. Look at the difference before it is committed; from then on Dependabot moves tag and digest.
# usage: pin-images.sh [--check]      --check: change nothing, list what has no digest, exit 1 if there is any
set -eu

cd "$(dirname "$0")/.."
files="Dockerfile docker-compose.yml $(find k8s -name '*.yaml' | sort)"

# The references, without a digest, that stand in a file. The service's own image is not there before it is built.
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

# All are known before a file is changed.
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
for image in $(references "$files" | sed 's/@.*//' | sort -u); do
	# Docker's short names are those of its Hub.
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
	cmp -s "$file" "$pins.new" || cat "$pins.new" >"$file" # its rights stay
	rm "$pins.new"
done
