-- Watch products no longer.
-- KEYS: entries, sums, then of the queue: ready, delayed, leased, scores, attempts, leases, losses.
-- ARGV: JSON [[product id, entry as it was read, {sum: difference}], ...].
-- Returns {how many were watched, id, ...}; the entries of these ids have changed since, and they
-- are left as they are.

local ENTRIES, SUMS = KEYS[1], KEYS[2]

-- Whoever makes the call at this moment finds its lease gone, and does not queue it again.
local function leave_queue(call)
  local left = 0
  for i = 3, 5 do
    left = left + redis.call('ZREM', KEYS[i], call)
  end
  for i = 6, #KEYS do
    redis.call('HDEL', KEYS[i], call)
  end
  return left
end

local answer = { 0 }
for _, removal in ipairs(cjson.decode(ARGV[1])) do
  local id, entry, differences = unpack(removal)
  if (redis.call('HGET', ENTRIES, id) or '') == entry then
    for name, difference in pairs(differences) do
      redis.call('HINCRBYFLOAT', SUMS, name, difference)
    end
    if redis.call('HDEL', ENTRIES, id) + leave_queue(id) > 0 then
      answer[1] = answer[1] + 1
    end
  else
    answer[#answer + 1] = id
  end
end
return answer
