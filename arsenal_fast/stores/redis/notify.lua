-- Count the revocation of one identity in one shard of a cluster (revoke.lua has ended its lives, perhaps in another).
--
-- KEYS  the revision, and the log
-- ARGV  the id
-- reply the revision
--
-- Without a log the revision goes ahead of it: each worker then drops its whole cache, as after a loss of memory. One
-- key alone can be written while its slot is being moved to another node.
local time = redis.call('TIME')
local revision = read_revision(KEYS[1])

if KEYS[2] then
  return { count_change(KEYS[1], KEYS[2], revision, time, ARGV[1]) }
end
revision = math.max(time[1] * 1000000 + time[2], revision + 2)
write_revision(KEYS[1], revision)
return { revision }
