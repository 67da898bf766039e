#!/bin/sh
# A dump of the ledger as of now, of one moment, while others write. It takes its name when it is whole and can be
# read. `arsenal-fast ledger backup` makes the same file, and `arsenal-fast ledger restore` puts it back.
set -eu
umask 077 # identities are personal data

directory=${BACKUPS:-/backups}
file=$directory/identity-$(date +%Y%m%d).dump
unfinished=$directory/unfinished
rm -f "$unfinished"

pg_dump --dbname="$DATABASE_URL" --no-password --format=custom --no-owner --schema=arsenal_ledger --file="$unfinished"
pg_restore --list "$unfinished" >/dev/null
sync
mv "$unfinished" "$file"
find "$directory" -name 'identity-*.dump' -mtime "+${KEEP_DAYS:-14}" -exec rm -f {} +
