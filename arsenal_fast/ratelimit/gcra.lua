-- The generic cell rate algorithm over many cells, atomically and by the clock of the store.
--
-- KEYS  the revision of the revocations, then the cells, one a row; the same cell may stand in several rows
-- ARGV  emission interval and tolerance (us) of the rows, one hit each; then the rows that differ from that, as text:
--       "place quantity step tolerance linked enforced ...", the place being that of the key, the step what each hit
--       adds; a quantity of 0 only looks. The next ``linked`` rows are charged the same hits as this one: those that
--       have room in the first ``enforced`` of all these cells, which are distinct; each of the others (shadow
--       policies) as many of these as it has room for. The own quantity of a linked row counts for nothing.
--       Further ones, and the last keys, are those of stores/redis/issue_passing.lua, where that is a part of the script
-- reply the revision (0 when there is none), then one integer a row: the backlog before the row's hits (us)
--
-- A cell holds its theoretical arrival time (tat) in us as decimal text; gcra.py has the same arithmetic in
-- words. MGET and not GET: a cell of a wrong type then reads as missing and is overwritten, not an error.
--
-- A full Redis evicts what is used least (volatile-lfu, deploy/redis/redis.conf). To be read and written counts as use,
-- so a cell that was hit often stays before identities that were written once. Many hits in one row count as many uses.
--
-- All other processes wait for the loop: it calls no function that arithmetic can replace (x - x % 1 is floor(x)), and
-- makes no text anew that it has.
local call, format, find, ceil = redis.call, string.format, string.find, math.ceil
local MOST_USES = 32 -- of one row: five hours of LFU's decay, for the time of one more row

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local keys = KEYS
local cells = call('MGET', unpack(keys))
local last_cell = #keys - (ARGV[4] or 0)
local struck = {}
local refused = {} -- the places of rows of which hits are refused

-- %d spares a tenth of the script against %.0f, and keeps all digits where C's long has 64 bits. (tostring() keeps 14.)
local whole = format('%d', 9007199254740991) == '9007199254740991' and '%d' or '%.0f'

-- The revision travels with every admission, so that nobody has to ask whether something was revoked. Garbage is none,
-- and so is what a double does not hold to the last digit: as in stores/redis/revision.lua.
local revision = cells[1]
cells[1] = 0
if revision and #revision <= 16 and find(revision, '^%d+$') and revision + 0 < 9007199254740992 then
  cells[1] = revision + 0
end

local usual_interval, usual_tolerance = ARGV[1] + 0, ARGV[2] + 0
local differing = {}
local pattern = '(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)'
for place, quantity, step, tolerance, linked, enforced in string.gmatch(ARGV[3], pattern) do
  differing[place + 0] = { quantity + 0, step + 0, tolerance + 0, linked + 0, enforced + 0 }
end

-- Clamped: the clock may have stepped back, the quota shrunk, the text be garbage. NaN fails every comparison.
local function clamped(tat, tolerance)
  if tat - now > tolerance then
    return tolerance
  elseif tat > now then
    local backlog = tat - now
    return backlog - backlog % 1
  end
  return 0
end

-- How many hits each of the rows has room for; all where there is no row.
local function room_in_all(first, last, hits)
  for at = first, last do
    local key, row = keys[at], differing[at]
    local room = row[3] - clamped(struck[key] or tonumber(cells[at] or 0) or 0, row[3])
    hits = math.min(hits, (room - room % row[2]) / row[2])
  end
  return hits
end

-- What was written last: all idle clients of one quota are written the same.
local last_ahead, text, life

-- Of a row with linked ones: the last of these, and the hits of each.
local last_linked, linked_hits = 0, 0

for at = 2, last_cell do
  local key, cell = keys[at], cells[at]
  local quantity, interval, tolerance = 1, usual_interval, usual_tolerance
  local row = differing[at]
  if row then
    quantity, interval, tolerance = row[1], row[2], row[3]
    if row[4] > 0 then
      last_linked = at + row[4]
      linked_hits = room_in_all(at, at + row[5] - 1, quantity)
    end
    if at <= last_linked then
      refused[at] = linked_hits < quantity
      quantity = linked_hits
    end
  end
  local tat = struck[key] or cell and tonumber(cell) or 0

  local backlog = clamped(tat, tolerance)
  local room = tolerance - backlog
  local hits = (room - room % interval) / interval
  if hits >= quantity then
    hits = quantity
  else
    refused[at] = true
  end

  -- A clamped tat is written back even when nothing passed: else it would be clamped anew for ever.
  if hits > 0 or tat - now > tolerance then
    local ahead = backlog + hits * interval
    struck[key] = now + ahead
    if ahead ~= last_ahead then
      -- One ms more than the wait, since Redis counts PX from its own, truncated millisecond: a cell never goes before
      -- its tat has passed.
      last_ahead, text, life = ahead, format(whole, now + ahead), format(whole, ceil(ahead / 1000) + 1)
    end
    call('SET', key, text, 'PX', life)
    if hits > 1 then
      local uses = {}
      for use = 1, hits < MOST_USES and hits or MOST_USES do
        uses[use] = key
      end
      call('TOUCH', unpack(uses))
    end
  end
  cells[at] = backlog
end

if last_cell < #keys then
  issue_passing(keys, cells, last_cell, refused, (now - now % 1000) / 1000)
end
return cells
