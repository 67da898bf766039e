-- Revoke one identity: every life of it up to now is dead; atomically and by the clock of the store.
--
-- KEYS  the identity's record; the revision, the log (not in a cluster, where notify.lua counts the change)
-- ARGV  the id, and the life that the caller knows: generated, ttl (ms; ttl 0: none)
-- reply six integers: known (0 or 1), generated, expires, floor (ms), already (0 or 1), revision
--
-- A full Redis evicts what is used least (volatile-lfu): a revocation counts as used as often as LFU can count, so that
-- it outlasts for days what was merely written.
--
-- The same decisions as identity/revocation.py.
local MOST_USES = 255 -- the end of LFU's counter

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local revision = KEYS[2] and read_revision(KEYS[2]) or 0
local held = read_record(redis.call('MGET', KEYS[1])[1])

local generated, ttl = ARGV[2] + 0, ARGV[3] + 0
if ttl > 0 and (not held or generated > held.generated) then
  held = { generated = generated, ttl = ttl, floor = held and held.floor or 0, provisional = false }
end
if not held then
  return { 0, 0, 0, 0, 0, revision }
end

local already = held.generated <= held.floor
if not already then
  held.floor = math.max(now, held.generated)
  write_record(KEYS[1], held, now)
  local uses = {}
  for use = 1, MOST_USES do
    uses[use] = KEYS[1]
  end
  redis.call('TOUCH', unpack(uses))
  if KEYS[2] then
    revision = count_change(KEYS[2], KEYS[3], revision, time, ARGV[1])
  end
end
return { 1, held.generated, held.generated + held.ttl, held.floor, already and 1 or 0, revision }
