-- The generic cell rate algorithm over many cells, atomically and by the clock of the store.
--
-- KEYS  the revision of the revocations, then the cells, one a row; the same cell may stand in several rows
-- ARGV  three a row: quantity (0 only looks), emission interval, tolerance (us)
-- reply the revision (0 when there is none), then one integer a row: the backlog before the row's hits (us)
--
-- A cell holds its theoretical arrival time (tat) in us as decimal text; gcra.py has the same arithmetic in
-- words. MGET and not GET: a cell of a wrong type then reads as missing and is overwritten, not an error.
local call, format, find, floor, ceil, min = redis.call, string.format, string.find, math.floor, math.ceil, math.min

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cells = call('MGET', unpack(KEYS))
local struck = {}
local reply = { 0 }

-- The revision travels with every admission, so that nobody has to ask whether something was revoked. Garbage is none,
-- and so is what a double does not hold to the last digit: as in redis/revision.lua.
local revision = cells[1]
if revision and #revision <= 16 and find(revision, '^%d+$') and revision + 0 < 9007199254740992 then
  reply[1] = revision + 0
end

for at = 2, #KEYS do
  local key, last = KEYS[at], 3 * at - 3
  local quantity, interval, tolerance = ARGV[last - 2] + 0, ARGV[last - 1] + 0, ARGV[last] + 0
  local tat = struck[key] or tonumber(cells[at] or 0) or 0

  -- Clamped: the clock may have stepped back, the quota shrunk, the text be garbage. NaN fails every comparison.
  local backlog = 0
  if tat > now then
    backlog = min(floor(tat - now), tolerance)
  end
  local room = tolerance - backlog
  local hits = min(quantity, (room - room % interval) / interval)

  -- A clamped tat is written back even when nothing passed: else it would be clamped anew for ever.
  if hits > 0 or tat - now > tolerance then
    local ahead = backlog + hits * interval
    struck[key] = now + ahead
    -- %.0f: tostring() loses digits of a number as large as a tat. One ms more than the wait, since Redis counts PX
    -- from its own, truncated millisecond: a cell never goes before its tat has passed.
    call('SET', key, format('%.0f', struck[key]), 'PX', ceil(ahead / 1000) + 1)
  end
  reply[at] = backlog
end

return reply
