-- How Redis itself is, in one round trip; and what is read too seldom to seem in use is used (volatile-lfu).
--
-- KEYS  of the revocations: the revision, the log, the epochs, the amendments
-- reply evicted keys, bytes used, bytes allowed (0: no bound); empty where the user has no right to INFO
--
-- pcall: a user without the right to INFO gets an empty reply and keeps the connection. NOPERM would mean an outage.
redis.pcall('TOUCH', unpack(KEYS))
local stats, memory = redis.pcall('INFO', 'stats'), redis.pcall('INFO', 'memory')
if type(stats) ~= 'string' or type(memory) ~= 'string' then
  return {}
end

local function figure(text, name)
  return tonumber(string.match(text, '\n' .. name .. ':(%d+)')) or 0
end

return { figure(stats, 'evicted_keys'), figure(memory, 'used_memory'), figure(memory, 'maxmemory') }
