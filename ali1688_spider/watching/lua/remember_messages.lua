-- Note that messages are kept. ARGV: source, for how long they are remembered in ms, message ids.
-- Returns how many were not kept before.

local MESSAGES, KEPT = KEYS[2], KEYS[3]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local text = string.format('%.0f', now)
redis.call('ZREMRANGEBYSCORE', MESSAGES, '-inf', '(' .. string.format('%.0f', now - ARGV[2]))
local added = 0
for i = 3, #ARGV do
  added = added + redis.call('ZADD', MESSAGES, 'NX', text, ARGV[i])
end
redis.call('PEXPIRE', MESSAGES, ARGV[2])
redis.call('HSET', KEPT, ARGV[1], text)
return added
