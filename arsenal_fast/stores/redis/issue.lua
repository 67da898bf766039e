-- Issue identities: find the living life, renew it, or begin a new one; atomically and by the clock of the store.
--
-- KEYS  the identities, one a row; the same identity may stand in several rows
-- ARGV  five a row: ttl (ms), mode, generated (ms, of the life that the row brings), epoch (ms), provisional (0 or 1);
--       or five for all rows
-- reply three integers a row: outcome, generated, expires (ms); only the first row's where all rows have the same
--
-- The same decisions as identity/issue_rules.py, in the numbers of identity/validity.py.
local FOUND, ISSUED, RENEWED, PROVISIONAL, REVOKED = 0, 1, 2, 4, 5
local PLAIN, ASSERT, CONFIRM = 0, 2, 3

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local texts = redis.call('MGET', unpack(KEYS))
local written = {}
local reply = {}
local step = #ARGV == 5 and 0 or 5
local alike = true

for row = 1, #KEYS do
  local key, last = KEYS[row], step * (row - 1) + 5
  local ttl, mode, generated = ARGV[last - 4] + 0, ARGV[last - 3] + 0, ARGV[last - 2] + 0
  local epoch, provisional = ARGV[last - 1] + 0, ARGV[last] == '1'

  local held = written[key] or read_record(texts[row])
  local floor = held and held.floor or 0
  local living = held and now < held.generated + held.ttl and held.generated > floor and held.generated >= epoch
  local dead = generated <= floor or generated < epoch -- the life that the row brings
  local same = held and held.generated == generated and held.ttl == ttl

  local kept
  if mode == PLAIN then
    kept = living and 4 * (held.generated + held.ttl - now) >= held.ttl
  elseif mode == ASSERT then
    kept = living
  elseif mode == CONFIRM then
    kept = living and (dead or not held.provisional and (same or held.generated > generated))
  end

  local outcome, after
  if kept then
    outcome = held.provisional and PROVISIONAL or FOUND
  elseif mode == PLAIN then
    outcome = living and RENEWED or ISSUED
    after = { generated = math.max(now, floor + 1, epoch), ttl = ttl, floor = floor, provisional = provisional }
  elseif dead then
    outcome = REVOKED
    held = { generated = generated, ttl = ttl }
  else
    outcome = mode == CONFIRM and same and FOUND or ISSUED
    after = { generated = generated, ttl = ttl, floor = floor, provisional = mode == ASSERT and provisional }
  end

  if after then
    held = after
    if write_record(key, after, now) then
      written[key] = after
    end
  end
  reply[3 * row - 2] = outcome
  reply[3 * row - 1] = held.generated
  reply[3 * row] = held.generated + held.ttl
  alike = alike and outcome == reply[1] and held.generated == reply[2] and reply[3 * row] == reply[3]
end

return alike and { reply[1], reply[2], reply[3] } or reply
