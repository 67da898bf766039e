-- The record of an identity, as text and as a table. (Stands before the scripts that use it.)
--
-- "generated ttl", decimal, in ms; with a floor, or while it is provisional, "generated ttl floor" and
-- "generated ttl floor p". Anything else in its place is treated as missing and overwritten.
local RETENTION = 300000 -- ms that a record outlives its expiry, so that expired can be told from unknown
local MAX_TTL = 2592000000 -- ms
local LAST_GENERATED = 253399708799999 -- ms: what begins later may end after 9999, which can't be written as a date
local MAX_RECORD = 64 -- bytes

local function read_record(text)
  if not text or #text > MAX_RECORD then
    return nil
  end
  local generated, ttl, rest = string.match(text, '^(%d+) (%d+)(.*)$')
  if not generated then
    return nil
  end
  local record = { generated = generated + 0, ttl = ttl + 0, floor = 0, provisional = false }
  if rest ~= '' then
    local floor, mark = string.match(rest, '^ (%d+)(.*)$')
    if not floor or (mark ~= '' and mark ~= ' p') then
      return nil
    end
    record.floor, record.provisional = floor + 0, mark ~= ''
  end
  if record.ttl < 1 or record.ttl > MAX_TTL or math.max(record.generated, record.floor) > LAST_GENERATED then
    return nil
  end
  return record
end

-- Not written when its time is over. A floor outlives every life that it has killed.
local function write_record(key, record, now)
  local text = string.format('%.0f %.0f', record.generated, record.ttl)
  local ends = record.generated + record.ttl
  if record.floor > 0 then
    ends = math.max(ends, record.floor + MAX_TTL)
  end
  if record.provisional then
    text = text .. string.format(' %.0f p', record.floor)
  elseif record.floor > 0 then
    text = text .. string.format(' %.0f', record.floor)
  end
  local px = ends + RETENTION - now
  if px > 0 then
    redis.call('SET', key, text, 'PX', string.format('%.0f', px))
  end
  return px > 0
end

