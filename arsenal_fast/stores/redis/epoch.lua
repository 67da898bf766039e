-- Raise epochs and merge amendments: every life in the reach of an epoch that was generated before is dead; atomically, by
-- the clock of the store.
--
-- KEYS  the revision, the log, the epochs (a hash: prefix, or "" for everything, to ms), the amendments (a hash: key to
--       "moment limit ends")
-- ARGV  the least revision (0, or one more than somebody has seen), then two a row: prefix, the epoch (ms; 0: everything
--       up to now dies); or a key with a colon, which no prefix has, and an amendment
-- reply the revision, and one integer a row: the epoch that is in force; of an amendment 1 where it is in force, else 0
--
-- An epoch never falls, and a withdrawal is final.
local PRUNE_EVERY = 100 -- amendments between two looks for those whose tokens have expired

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local revision = read_revision(KEYS[1])
local reply = {}
local risen = false
local amended = {}
local lasting = 0 -- ms that the amendments have to be kept

-- As rank() in identity/amendments.py.
local function prevails(new, held)
  if not held then
    return true
  end
  if (new.limit == 0) ~= (held.limit == 0) then
    return new.limit == 0
  end
  if new.moment ~= held.moment then
    return new.moment > held.moment
  end
  if new.limit ~= held.limit then
    return new.limit < held.limit
  end
  return new.ends > held.ends
end

local function raise(prefix, before)
  local epoch = read_epoch(redis.call('HGET', KEYS[3], prefix))
  before = math.min(before > 0 and before or now + 1, LAST_GENERATED)
  if before > epoch then
    epoch, risen = before, true
    redis.call('HSET', KEYS[3], prefix, string.format('%.0f', epoch))
  end
  return epoch
end

local function amend(key, text)
  local held_text = redis.call('HGET', KEYS[4], key)
  local new, held = read_amendment(text), read_amendment(held_text)
  if not new or new.ends <= now or not prevails(new, held) then
    return held_text == text and 1 or 0
  end
  redis.call('HSET', KEYS[4], key, text)
  amended[#amended + 1] = key
  lasting = math.max(lasting, new.ends - now)
  return 1
end

local function prune()
  local held = redis.call('HGETALL', KEYS[4])
  for at = 1, #held, 2 do
    local amendment = read_amendment(held[at + 1])
    if not amendment or amendment.ends <= now then
      redis.call('HDEL', KEYS[4], held[at])
    end
  end
end

discard_unless('hash', KEYS[3])
discard_unless('hash', KEYS[4])
for at = 2, #ARGV, 2 do
  local key, value = ARGV[at], ARGV[at + 1]
  reply[#reply + 1] = string.find(key, ':', 1, true) and amend(key, value) or raise(key, tonumber(value) or 0)
end

if risen then
  redis.call('PEXPIRE', KEYS[3], KEPT)
end
if lasting > redis.call('PTTL', KEYS[4]) then
  redis.call('PEXPIRE', KEYS[4], string.format('%.0f', lasting))
end

local least = ARGV[1] + 0
if revision < least then
  -- The store has lost its memory: a worker that has seen any revision before must find that the log does not reach it.
  revision = begin_revision(KEYS[1], KEYS[2], time, least)
else
  if risen then
    revision = count_change(KEYS[1], KEYS[2], revision, time, nil)
  end
  for _, key in ipairs(amended) do
    revision = count_change(KEYS[1], KEYS[2], revision, time, '=' .. key)
  end
end
if #amended > 0 and revision % PRUNE_EVERY < #amended then
  prune()
end
table.insert(reply, 1, revision)
return reply
