-- End leases. ARGV: JSON [[token, action, delay in ms, attempts, children], ...], then the members.
-- Actions: 'done'; 'back' queues the call again at its old place; 'repeat' as if it were pushed now
-- without a priority, which was for this once; one that was expedited meanwhile keeps it, and is made
-- without a delay. A lease that is the last one is done whatever the action, and leads to nothing.
-- Returns the indices, from 0, of those that were lost before; these change nothing.

local now = now_ms()
local lost = {}
local any_crashes = redis.call('EXISTS', LOSSES) == 1

local function settle(member, score, action, delay, attempts, word)
  drop_lease(member)
  if any_crashes and action ~= 'back' then
    redis.call('HDEL', LOSSES, member)
  end
  if action == 'done' then
    owe(slot_of(score), -1)
    return
  end
  if action == 'repeat' then
    delay = word == 'again' and 0 or delay
    local sequence = delay == 0 and draw_sequence(1) + 1 or 0
    score = score_of(word == 'again' and priority_of(score) or 0, sequence, slot_of(score))
  end
  enqueue(member, score, attempts, delay, now)
end

for i, settled in ipairs(cjson.decode(ARGV[1])) do
  local token, action, delay, attempts, children = unpack(settled)
  local member = ARGV[i + 1]
  local held, _, score, word = read_lease(redis.call('HGET', LEASES, member))
  if held == token then
    if word == 'last' then
      action = 'done'
    else
      push(children, slot_of(score), now)
    end
    settle(member, score, action, delay, attempts, word)
  else
    lost[#lost + 1] = i - 1
  end
end
pay_crawls(now)
return lost
