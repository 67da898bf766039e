#!/usr/bin/env bash
# Replace the data of the ledger and of Redis by a backup of backup.sh.
# usage: restore.sh --yes PLACE BACKUP [ledger] [redis]  PLACE: local, compose, kubectl (see reach.sh)
#
# Restores both parts, if the backup has them, unless one is named. The service may be running. Identities issued after
# the backup are lost from both; those revoked after it are valid again until they are revoked again.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
redis_place=() redis_options=() service_place=() # set by reach
# shellcheck source=/dev/null
. "$here/reach.sh"

[[ ${1:-} == --yes ]] || die "this replaces all that the ledger and Redis hold; if you mean that: restore.sh --yes ..."
shift
[[ $# -ge 2 ]] || die "usage: restore.sh --yes local|compose|kubectl BACKUP [ledger] [redis]"
place=$1 backup=$2
shift 2
[[ -f $backup/SHA256SUMS ]] || die "$backup is no whole backup: it has no SHA256SUMS"
(cd "$backup" && sha256sum --check --quiet --strict SHA256SUMS) || die "$backup is damaged: nothing was changed"
if [[ $# -eq 0 ]]; then
	[[ ! -e $backup/ledger ]] || set -- "$@" ledger
	[[ ! -e $backup/redis.rdb ]] || set -- "$@" redis
fi
parts=" $* "
[[ $parts != *" ledger "* || -e $backup/ledger ]] || die "$backup has no ledger"
[[ $parts != *" redis "* || -e $backup/redis.rdb ]] || die "$backup has no redis.rdb"
reach "$place"

# The ledger first: it decides if Redis has no record.
if [[ $parts == *" ledger "* ]]; then
	"${service_place[@]}" "${ARSENAL_FAST:-arsenal-fast}" ledger restore - <"$backup/ledger" ||
		die "the ledger could not be restored; Redis was not touched"
	"${service_place[@]}" "${ARSENAL_FAST:-arsenal-fast}" ledger verify >&2 || die "the restored ledger has faults"
fi
if [[ $parts == *" redis "* ]]; then
	"${redis_place[@]}" sh -c "$(cat "$here/redis-load.sh")" redis-load "${redis_options[@]}" <"$backup/redis.rdb" ||
		die "Redis could not be restored"
fi
echo "restored from $backup: $*"
