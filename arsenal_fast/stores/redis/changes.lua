-- What has been revoked since a revision; reads only.
--
-- KEYS  the revision, the log, the epochs, the amendments
-- ARGV  the revision that the caller has seen
-- reply the revision; the ids revoked since, or nil when the log does not reach back so far; the epochs, each as
--       prefix and ms; the amendments since, or all when the log does not reach back, each as key and text
local revision = read_revision(KEYS[1])
local since = ARGV[1] + 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local amended = {} -- keys since

local function is(kind, key)
  return redis.call('TYPE', key).ok == kind
end

local function ids_since()
  if since > revision or since < revision - LOG_LENGTH then
    return false
  end
  local ids = {}
  if since == revision then
    return ids
  end
  local entries = is('list', KEYS[2]) and redis.call('LRANGE', KEYS[2], 0, revision - since - 1) or {}
  for back = 0, revision - since - 1 do
    local number, space, id = string.match(entries[back + 1] or '', '^(%d+)(.?)(.*)$')
    if number ~= string.format('%.0f', revision - back) or (space ~= '' and space ~= ' ') then
      return false
    end
    if string.sub(id, 1, 1) == '=' then
      amended[#amended + 1] = string.sub(id, 2)
    elseif space == ' ' then
      ids[#ids + 1] = id
    end
  end
  return ids
end

local epochs = {}
local held = is('hash', KEYS[3]) and redis.call('HGETALL', KEYS[3]) or {}
for at = 1, #held, 2 do
  local epoch = read_epoch(held[at + 1])
  if epoch > 0 then
    epochs[#epochs + 1] = held[at]
    epochs[#epochs + 1] = epoch
  end
end

local amendments = {}
local function add(key, text)
  local amendment = read_amendment(text)
  if amendment and amendment.ends > now then
    amendments[#amendments + 1] = key
    amendments[#amendments + 1] = text
  end
end

local ids = ids_since()
if is('hash', KEYS[4]) then
  if ids then
    for _, key in ipairs(amended) do
      add(key, redis.call('HGET', KEYS[4], key))
    end
  else
    local all = redis.call('HGETALL', KEYS[4])
    for at = 1, #all, 2 do
      add(all[at], all[at + 1])
    end
  end
end

return { revision, ids, epochs, amendments }
