#!/bin/sh
# A dump of Redis as of now. Nobody waits for it: redis-cli asks for the data as a replica would, where SAVE would
# stand in everybody's way. It takes its name when it is whole and proven; REDISCLI_AUTH has the password.
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
