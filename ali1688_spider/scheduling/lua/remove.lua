-- Take calls out of the queue that are ready or delayed; others stay. ARGV: members.
-- Returns how many were taken out.

local now = now_ms()
local removed = 0
for _, member in ipairs(ARGV) do
  local score = read_ready_score(redis.call('ZSCORE', READY, member))
  local is_removed = redis.call('ZREM', READY, member) == 1
  if redis.call('ZREM', DELAYED, member) == 1 then
    score, is_removed = read_score(redis.call('HGET', SCORES, member)), true
  end
  if is_removed then
    removed = removed + 1
    owe(slot_of(score or 0), -1)
    for _, key in ipairs({ SCORES, ATTEMPTS, LOSSES }) do
      redis.call('HDEL', key, member)
    end
  end
end
pay_crawls(now)
return removed
