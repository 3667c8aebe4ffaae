-- Queue what a batch of messages asks for and remove the batch. ARGV: number of the batch,
-- JSON [[member, priority, delay in ms], ...]. Returns how many calls were not queued before, or -1
-- when another reader settled the batch.

if redis.call('LINDEX', INTAKE, 0) ~= ARGV[1] then
  return -1
end
local now = now_ms()
local added = push(cjson.decode(ARGV[2]), 0, now)
redis.call('DEL', INTAKE, READER)
pay_crawls(now)
return added
