#!/bin/sh
# A dump of the ledger as of now, of one moment, while others write. It takes its name when it is whole and can be
# read. `arsenal-fast ledger backup` makes the same file, and `arsenal-fast ledger restore` puts it back.
set -eu

directory=${BACKUPS:-/backups}
file=$directory/identity-$(date +%Y%m%d).dump

pg_dump --dbname="$DATABASE_URL" --no-password --format=custom --no-owner --schema=arsenal_ledger --file="$file.part"
pg_restore --list "$file.part" >/dev/null
sync
mv "$file.part" "$file"
find "$directory" -name 'identity-*.dump' -mtime "+${KEEP_DAYS:-14}" -exec rm -f {} +
