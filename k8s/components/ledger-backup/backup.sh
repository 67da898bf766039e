#!/bin/sh
# Dump the ledger consistently while others write. The file gets its name when it is complete and readable.
# `arsenal-fast ledger backup` makes the same file, and `arsenal-fast ledger restore` restores it.
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
