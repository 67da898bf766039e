-- The revision, the epochs, and the log of changes. (Stands before the scripts that use it.)
--
-- The log is a list, newest first: "revision id" of a revoked identity, "revision" where epochs rose. It goes back
-- as far as each of its entries is one less than the entry before; a log that does not is a log that has ended.
-- What is not of that form, or of another type, is treated as missing and overwritten.
local KEPT = 2592300000 -- ms: the longest TTL and the retention; by then no life is left that a change has ended
local LOG_LENGTH = 1000
local LAST_GENERATED = 253399708799999 -- ms: what begins later may end after 9999; no epoch lies behind it

-- At most 15 digits, which a double holds to the last.
local function read_number(text)
  return text and #text <= 15 and string.match(text, '^%d+$') and text + 0 or 0
end

local function read_epoch(text)
  local epoch = read_number(text)
  return epoch <= LAST_GENERATED and epoch or 0
end

local function discard_unless(kind, key)
  if redis.call('TYPE', key).ok ~= kind then
    redis.call('DEL', key)
  end
end

-- MGET and not GET: a wrong type then reads as missing.
local function read_revision(key)
  return read_number(redis.call('MGET', key)[1])
end

-- One change more. A missing revision begins at the clock: see identity/revocation.py.
local function next_revision(revision, now)
  return revision > 0 and revision + 1 or now
end

local function write_revision(key, revision)
  redis.call('SET', key, string.format('%.0f', revision), 'PX', KEPT)
end

-- Counts one change, of an id or of epochs (no id); returns the revision after it.
local function count_change(revision_key, log_key, revision, now, id)
  local after = next_revision(revision, now)
  write_revision(revision_key, after)
  if revision > 0 then
    discard_unless('list', log_key)
  else
    redis.call('DEL', log_key)
  end
  local entry = string.format('%.0f', after)
  redis.call('LPUSH', log_key, id and entry .. ' ' .. id or entry)
  redis.call('LTRIM', log_key, 0, LOG_LENGTH - 1)
  redis.call('PEXPIRE', log_key, KEPT)
  return after
end

