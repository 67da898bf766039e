-- The revision, the epochs, the amendments, and the log of changes. (Stands before the scripts that use it.)
--
-- The log is a list, newest first: "revision id" of a revoked identity, "revision =key" of an amendment of service
-- tokens, "revision" where epochs rose. It goes back
-- as far as each of its entries is one less than the entry before. What is not of that form, or of another type, is
-- treated as missing and overwritten.
local KEPT = 2592300000 -- ms: the longest TTL and the retention; by then no life is left that a change has ended
local LOG_LENGTH = 1000
local LAST_GENERATED = 253399708799999 -- ms: what begins later may end after 9999; no epoch lies behind it

-- Below 2^53, where a double holds every digit.
local function read_number(text)
  local number = text and #text <= 16 and string.match(text, '^%d+$') and text + 0 or 0
  return number < 9007199254740992 and number or 0
end

local function read_epoch(text)
  local epoch = read_number(text)
  return epoch <= LAST_GENERATED and epoch or 0
end

-- An amendment is "moment limit ends", decimal; a limit of 0 withdraws. See identity/amendments.py.
local function read_amendment(text)
  if not text or #text > 64 then
    return nil
  end
  local moment, limit, ends = string.match(text, '^(%d+) (%d+) (%d+)$')
  return moment and { moment = read_number(moment), limit = read_number(limit), ends = read_number(ends) } or nil
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

local function write_revision(key, revision)
  redis.call('SET', key, string.format('%.0f', revision), 'PX', KEPT)
end

-- No log leads to the revision of a store that has lost its memory: see identity/revocation.py.
local function begin_revision(revision_key, log_key, time, least)
  local revision = math.max(time[1] * 1000000 + time[2], least)
  write_revision(revision_key, revision)
  redis.call('DEL', log_key)
  return revision
end

-- Counts one change, of an id or of epochs (no id); returns the revision after it.
local function count_change(revision_key, log_key, revision, time, id)
  if revision == 0 then
    return begin_revision(revision_key, log_key, time, 0)
  end
  revision = revision + 1
  write_revision(revision_key, revision)
  discard_unless('list', log_key)
  local entry = string.format('%.0f', revision)
  redis.call('LPUSH', log_key, id and entry .. ' ' .. id or entry)
  redis.call('LTRIM', log_key, 0, LOG_LENGTH - 1)
  redis.call('PEXPIRE', log_key, KEPT)
  return revision
end

