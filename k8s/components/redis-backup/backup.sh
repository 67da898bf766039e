#!/bin/sh
# Dump Redis without blocking it: redis-cli requests the data as a replica does, while SAVE would block all clients.
# The file gets its name when it is complete and verified; REDISCLI_AUTH has the password.
set -eu
umask 077 # identities are personal data

directory=${BACKUPS:-/backups}
file=$directory/redis-$(date +%Y%m%d).rdb
unfinished=$directory/unfinished
rm -f "$unfinished"

redis-cli -h "${REDIS_HOST:-redis-master}" -p "${REDIS_PORT:-6379}" --rdb "$unfinished"
redis-check-rdb "$unfinished"
sync
mv "$unfinished" "$file"
find "$directory" -name 'redis-*.rdb' -mtime "+${KEEP_DAYS:-14}" -exec rm -f {} +
