-- Decides about one row of an issue. (Stands after record.lua, and before the scripts that use it.)
--
-- The same decisions as identity/issue_rules.py, in the numbers of identity/validity.py.
local FOUND, ISSUED, RENEWED, PROVISIONAL, REVOKED = 0, 1, 2, 4, 5
local PLAIN, ASSERT, CONFIRM = 0, 2, 3

-- ``held``: the record in the store, or nil. Returns the outcome, the record with the life that holds from now on, and
-- whether that is to be written.
local function issue_row(held, ttl, mode, generated, epoch, provisional, now)
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

  if kept then
    return held.provisional and PROVISIONAL or FOUND, held, false
  elseif mode == PLAIN then
    local begin = math.max(now, floor + 1, epoch)
    return living and RENEWED or ISSUED, { generated = begin, ttl = ttl, floor = floor, provisional = provisional }, true
  elseif dead then
    return REVOKED, { generated = generated, ttl = ttl }, false
  end
  local after = { generated = generated, ttl = ttl, floor = floor, provisional = mode == ASSERT and provisional }
  return mode == CONFIRM and same and FOUND or ISSUED, after, true
end

