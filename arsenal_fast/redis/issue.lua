-- Issue identities: find the living life, renew it, or begin a new one; atomically and by the clock of the store.
--
-- KEYS  the identities, one a row; the same identity may stand in several rows
-- ARGV  three a row: ttl (ms), fresh (0 or 1), generated (ms; 0 is now, else a life to re-assert)
-- reply three integers a row: outcome (0 found, 1 issued, 2 renewed, 3 taken), generated, expires (ms)
--
-- A record is "generated ttl", decimal, in ms. Anything else in its place is treated as missing and overwritten.
local RETENTION = 300000 -- ms that a record outlives its expiry, so that expired can be told from unknown
local MAX_TTL = 2592000000 -- ms
local LAST_MOMENT = 253402300799999 -- ms, the end of the year 9999: what lies behind it can't be written as a date

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local records = redis.call('MGET', unpack(KEYS))
local written = {}
local reply = {}

for row = 1, #KEYS do
  local key = KEYS[row]
  local ttl, fresh, reasserted = ARGV[3 * row - 2] + 0, ARGV[3 * row - 1] == '1', ARGV[3 * row] + 0

  local found = nil
  local living = false
  local record = written[key] or records[row]
  local first, second = string.match(record or '', '^(%d+) (%d+)$')
  if first then
    local life = { generated = first + 0, ttl = second + 0 }
    if life.ttl >= 1 and life.ttl <= MAX_TTL and life.generated + life.ttl <= LAST_MOMENT then
      found = life
      living = now < life.generated + life.ttl
    end
  end

  local outcome
  if fresh and found then
    outcome = 3
  elseif not living then
    outcome = 1
  elseif reasserted == 0 and 4 * (found.generated + found.ttl - now) < found.ttl then
    outcome = 2
  else
    outcome = 0
  end

  if outcome == 1 or outcome == 2 then
    found = { generated = reasserted > 0 and reasserted or now, ttl = ttl }
    local px = found.generated + ttl + RETENTION - now
    if px > 0 then
      written[key] = string.format('%.0f %.0f', found.generated, ttl)
      redis.call('SET', key, written[key], 'PX', string.format('%.0f', px))
    end
  end
  reply[3 * row - 2] = outcome
  reply[3 * row - 1] = found.generated
  reply[3 * row] = found.generated + found.ttl
end

return reply
