-- Take or keep a task. ARGV: which of KEYS says who has it, the worker, for how long in ms; 0 leaves
-- it. Returns 1 when the worker has it.

local key = KEYS[tonumber(ARGV[1])]
local holder = redis.call('GET', key)
if holder and holder ~= ARGV[2] then
  return 0
end
if ARGV[3] == '0' then
  return redis.call('DEL', key) * 0
end
redis.call('SET', key, ARGV[2], 'PX', ARGV[3])
return 1
