-- Watch products no longer. ARGV: product id, entry as it was read, JSON {sum: difference}, ...
-- Returns {how many were watched, id, ...}; the entries of these ids have changed since, and they
-- are left as they are.

-- Whoever makes the call at this moment finds its lease gone, and does not queue it again.
local function leave_queue(call)
  local left = 0
  for _, key in ipairs({ READY, DELAYED, LEASED }) do
    left = left + redis.call('ZREM', key, call)
  end
  for _, key in ipairs({ SCORES, ATTEMPTS, LEASES, LOSSES }) do
    redis.call('HDEL', key, call)
  end
  return left
end

local answer = { 0 }
for i = 1, #ARGV, 3 do
  local id, entry = ARGV[i], ARGV[i + 1]
  if (redis.call('HGET', ENTRIES, id) or '') == entry then
    add_to_sums(cjson.decode(ARGV[i + 2]))
    if redis.call('HDEL', ENTRIES, id) + leave_queue(id) > 0 then
      answer[1] = answer[1] + 1
    end
  else
    answer[#answer + 1] = id
  end
end
return answer
