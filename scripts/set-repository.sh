#!/bin/sh
# Put the owner of your repository in the place of the one that the files name: URLs of runbooks and documentation, images,
# the bootstrap. arsenal_fast/__init__.py has it in REPOSITORY, and all other files the same.
# usage: set-repository.sh OWNER
set -eu

cd "$(dirname "$0")/.."
case ${1:-} in
'' | *[!A-Za-z0-9-]*)
	echo "usage: set-repository.sh OWNER, a user or an organization at GitHub" >&2
	exit 2
	;;
esac
old=$(sed -n 's|^REPOSITORY = "https://github.com/\([^/]*\)/.*|\1|p' arsenal_fast/__init__.py)
image=$(printf %s "$1" | tr '[:upper:]' '[:lower:]') # names of images are in lower case
old_image=$(printf %s "$old" | tr '[:upper:]' '[:lower:]')
grep -rlIE "(github\.com|githubusercontent\.com|ghcr\.io|--repo)[/ ]($old|$old_image)/arsenal-identity" \
	--exclude-dir=.git --exclude-dir=.venv --exclude-dir=node_modules . |
	while read -r file; do
		sed -E -e "s#((github|githubusercontent)\.com/|--repo )$old/arsenal-identity#\1$1/arsenal-identity#g" \
			-e "s#ghcr\.io/$old_image/arsenal-identity#ghcr.io/$image/arsenal-identity#g" "$file" >"$file.new"
		cat "$file.new" >"$file" # keeps its mode
		rm "$file.new"
	done
