#!/usr/bin/env bash
# Back up the ledger and Redis while the service is serving.
# usage: backup.sh PLACE DIRECTORY [ledger] [redis]      PLACE: local, compose, kubectl (see reach.sh)
#
# Makes DIRECTORY/<time>/ with "ledger", "redis.rdb" and SHA256SUMS, and prints its name; it gets that name when it is
# complete. Backs up both parts unless one is named: without a ledger (DATABASE_URL=none) name "redis". An identity that
# was issued before the backup began is in both.
set -euo pipefail
umask 077 # identities are personal data

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
redis_place=() redis_options=() service_place=() # set by reach
# shellcheck source=/dev/null
. "$here/reach.sh"

[[ $# -ge 2 ]] || die "usage: backup.sh local|compose|kubectl DIRECTORY [ledger] [redis]"
place=$1 directory=$2
shift 2
parts=" ${*:-ledger redis} "
reach "$place"

mkdir -p "$directory"
backup=$directory/$(date -u +%Y%m%dT%H%M%SZ)
[[ ! -e $backup ]] || die "$backup is there already"
partial=$(mktemp -d "$directory/.partial.XXXXXX")
trap 'rm -rf "$partial"' EXIT

# The ledger first: a revocation between the two is then in Redis, which is read first. In the other order Redis would
# have an identity as valid that only the ledger has as revoked.
if [[ $parts == *" ledger "* ]]; then
	"${service_place[@]}" "${ARSENAL_FAST:-arsenal-fast}" ledger backup - \
		</dev/null >"$partial/ledger" ||
		die "the ledger could not be backed up"
	[[ -s $partial/ledger ]] || die "the ledger's backup is empty"
fi
if [[ $parts == *" redis "* ]]; then
	"${redis_place[@]}" sh -c "$(cat "$here/redis-save.sh")" redis-save "${redis_options[@]}" \
		</dev/null >"$partial/redis.rdb" 2>"$partial/.log" || die "Redis could not be backed up: $(tail -n 1 "$partial/.log")"
	[[ $(head -c 5 "$partial/redis.rdb") == REDIS ]] || die "what Redis sent is no RDB file"
	rm "$partial/.log"
fi
(cd "$partial" && sha256sum -- * >SHA256SUMS)
mv "$partial" "$backup"
echo "$backup"
