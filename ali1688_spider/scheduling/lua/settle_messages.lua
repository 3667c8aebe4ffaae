-- Queue what messages of a batch ask for and remove them. ARGV: number of the batch, how many of its
-- messages were read, JSON [[member, priority, delay in ms], ...], JSON with the places of those
-- messages that stay in the batch, from 1. Returns how many calls were not queued before, or -1 when
-- another reader settled the batch.

local number, count = ARGV[1], tonumber(ARGV[2])
if redis.call('LINDEX', INTAKE, 0) ~= number then
  return -1
end
local now = now_ms()
local kept = {}
for i, place in ipairs(cjson.decode(ARGV[4])) do
  kept[i] = redis.call('LINDEX', INTAKE, place)
end
local added = push(cjson.decode(ARGV[3]), 0, now)
redis.call('LTRIM', INTAKE, count + 1, -1)
for i = #kept, 1, -1 do
  redis.call('LPUSH', INTAKE, kept[i])
end
if #kept > 0 then
  redis.call('LPUSH', INTAKE, number)
else
  redis.call('DEL', READER)
  if redis.call('EXISTS', INTAKE) == 1 then
    redis.call('LPUSH', INTAKE, digits(now_us()))
  end
end
pay_crawls(now)
return added
