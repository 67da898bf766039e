-- Raise epochs: every life in their reach that was generated before is dead; atomically, by the clock of the store.
--
-- KEYS  the revision, the log, the epochs (a hash: prefix, or "" for everything, to ms)
-- ARGV  the least revision (0, or one more than somebody has seen), then two a row: prefix, the epoch (ms; 0: everything up to now dies)
-- reply the revision, and one integer a row: the epoch that is in force
--
-- An epoch never falls.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local revision = read_revision(KEYS[1])
local reply = {}
local risen = false

discard_unless('hash', KEYS[3])
for at = 2, #ARGV, 2 do
  local prefix, before = ARGV[at], ARGV[at + 1] + 0
  local epoch = read_epoch(redis.call('HGET', KEYS[3], prefix))
  before = math.min(before > 0 and before or now + 1, LAST_GENERATED)
  if before > epoch then
    epoch, risen = before, true
    redis.call('HSET', KEYS[3], prefix, string.format('%.0f', epoch))
  end
  reply[#reply + 1] = epoch
end

if risen then
  redis.call('PEXPIRE', KEYS[3], KEPT)
end

local least = ARGV[1] + 0
if revision < least then
  -- The store has lost its memory: whoever has seen any revision before must find that the log does not reach it.
  revision = begin_revision(KEYS[1], KEYS[2], time, least)
elseif risen then
  revision = count_change(KEYS[1], KEYS[2], revision, time, nil)
end
table.insert(reply, 1, revision)
return reply
