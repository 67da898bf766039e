-- Issue or look up the identities of the requests that an admission lets pass. (Stands before ratelimit/gcra.lua.)
--
-- KEYS  after the cells: the identities, one a row; the same identity may stand in several rows
-- ARGV  after those of gcra.lua: the number of rows; the rows, as text: "place ttl epoch provisional ...", the place
--       being that of the cell whose hits the row belongs to (1: of none), the ttl that of a new life (ms), or 0 to
--       look up only; as of issue.lua
-- reply after the cells, four integers a row: outcome, generated, expires, floor (ms); only the first row's where all
--       rows have the same, and are issued
--
-- A row is left out where any hit of its cell in this command is refused: which of them it belongs to is not known.
local MISSING, LEFT_OUT = 6, 7 -- outcomes, beside those of issue_row.lua
local NO_LIFE = { generated = 0, ttl = 0, floor = 0 }

local function issue_passing(keys, reply, last, refused, now)
  local found = {}
  local alike = true
  local key, written = last, {}
  for place, ttl, epoch, provisional in string.gmatch(ARGV[5], '(%d+) (%d+) (%d+) (%d+)') do
    key = key + 1
    local at = 4 * (key - last)
    local outcome, life, changed = LEFT_OUT, NO_LIFE, false
    if not refused[place + 0] then
      local held = written[keys[key]] or read_record(reply[key])
      if ttl ~= '0' then
        outcome, life, changed = issue_row(held, ttl + 0, PLAIN, 0, epoch + 0, provisional == '1', now)
      elseif held then
        outcome, life = held.provisional and PROVISIONAL or FOUND, held
      else
        outcome = MISSING
      end
      if changed and write_record(keys[key], life, now) then
        written[keys[key]] = life
      end
    end
    local expires = life.generated + life.ttl
    found[at - 3], found[at - 2], found[at - 1], found[at] = outcome, life.generated, expires, life.floor
    alike = alike and changed and outcome == found[1] and life.generated == found[2] and expires == found[3]
  end
  for at = 1, alike and 4 or #found do
    reply[last + at] = found[at]
  end
  for at = last + 5, alike and #reply or 0 do
    reply[at] = nil
  end
end

