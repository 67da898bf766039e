-- Issue identities: find the living life, renew it, or begin a new one; atomically and by the clock of the store.
--
-- KEYS  the identities, one a row; the same identity may stand in several rows
-- ARGV  five a row: ttl (ms), mode, generated (ms, of the life that the row brings), epoch (ms), provisional (0 or 1);
--       or five for all rows; with another argument behind them the reply is their number
-- reply three integers a row: outcome, generated, expires (ms); only the first row's where all rows have the same
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
  local outcome, life, changed = issue_row(held, ttl, mode, generated, epoch, provisional, now)
  if changed and write_record(key, life, now) then
    written[key] = life
  end
  local expires = life.generated + life.ttl
  reply[3 * row - 2], reply[3 * row - 1], reply[3 * row] = outcome, life.generated, expires
  alike = alike and outcome == reply[1] and life.generated == reply[2] and expires == reply[3]
end

if #ARGV % 5 > 0 then
  return { #KEYS }
end
return alike and { reply[1], reply[2], reply[3] } or reply
