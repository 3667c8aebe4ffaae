-- End leases. ARGV: JSON [[token, action, delay in ms, attempts, children], ...], then the members.
-- Actions: 'done'; 'back' queues the call again at its old place; 'anew' as if it were pushed now.
-- Returns {children added, index of an outcome whose lease was lost, ...}; those change nothing.

local now = now_ms()
local answer = { 0 }
local any_lost = redis.call('EXISTS', LOSSES) == 1

local function settle(member, score, action, delay, attempts)
  drop_lease(member)
  if any_lost and action ~= 'back' then
    redis.call('HDEL', LOSSES, member)
  end
  if action == 'done' then
    owe(slot_of(score), -1)
    return
  end
  if action == 'anew' then
    score = without_sequence(score)
    if delay == 0 then
      score = score + ((draw_sequence(1) + 1) % SEQUENCES) * POSITION
    end
  end
  enqueue(member, score, attempts, delay, now)
end

for i, outcome in ipairs(cjson.decode(ARGV[1])) do
  local token, action, delay, attempts, children = unpack(outcome)
  local member = ARGV[i + 1]
  local held, _, score = read_lease(redis.call('HGET', LEASES, member))
  if held == token then
    answer[1] = answer[1] + push(children, slot_of(score), now)
    settle(member, score, action, delay, attempts)
  else
    answer[#answer + 1] = i - 1
  end
end
pay_crawls(now)
return answer
