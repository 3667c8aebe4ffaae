-- Watch products no longer. ARGV: product ids. Returns how many were watched.

local WATCHED, READY, DELAYED, LEASED, SCORES, ATTEMPTS, LEASES, LOSSES = unpack(KEYS)

-- A worker that makes the call at this moment finds its lease gone, and does not queue it again.
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

local removed = 0
for _, id in ipairs(ARGV) do
  if redis.call('HDEL', WATCHED, id) + leave_queue(id) > 0 then
    removed = removed + 1
  end
end
return removed
