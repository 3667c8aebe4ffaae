-- Note in the states of products that they have changed. ARGV: product id, state as it was, state from
-- now on, ... Returns the ids of those whose state is another one by now; they are as they were.

local changed = {}
for i = 1, #ARGV, 3 do
  local id, before, state = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local present = redis.call('HGET', KEYS[1], id)
  if (present or '') ~= before then
    changed[#changed + 1] = id
  elseif present then
    redis.call('HSET', KEYS[1], id, state)
  end
end
return changed
