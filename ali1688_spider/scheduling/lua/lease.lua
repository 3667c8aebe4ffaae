-- Lease calls. ARGV: worker, lease in ms, how many at most, how many the worker holds, 1 to reclaim
-- calls of silent workers, how many losses make a call suspect, how many suspects at most.
-- Returns {token, surplus, calls reclaimed, {messages, ready, delayed, leased, next due},
-- {member, attempt, score, losses, ...}}; a positive surplus says that the worker holds less than it
-- leased, a negative one that it lost some.

local worker, limit = ARGV[1], tonumber(ARGV[3])
local at_once = limit + 100 -- bounds what one script promotes, reclaims or passes over
local now = now_ms()

local function reclaim()
  local reclaimed = 0
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', now, 'LIMIT', 0, 10)) do
    local room = at_once - reclaimed
    local members = redis.call('ZRANGEBYSCORE', LEASED, gone, gone, 'LIMIT', 0, room)
    for _, member in ipairs(members) do
      return_lease(member, true, now)
      redis.call('HINCRBY', LOSSES, member, 1)
    end
    if #members < room then
      redis.call('ZREM', WORKERS, gone)
    end
    reclaimed = reclaimed + #members
  end
  return reclaimed
end

local function promote()
  local members = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, at_once)
  if #members == 0 then
    return
  end
  local sequence = redis.call('INCRBY', SEQUENCE, #members) - #members
  local ready = {}
  for i, score in ipairs(redis.call('HMGET', SCORES, unpack(members))) do
    score = tonumber(score)
    if not has_sequence(score) then
      score = score + ((sequence + i) % SEQUENCES) * POSITION
    end
    ready[2 * i - 1], ready[2 * i] = digits(score), members[i]
  end
  redis.call('ZADD', READY, unpack(ready))
  redis.call('ZREM', DELAYED, unpack(members))
  redis.call('HDEL', SCORES, unpack(members))
end

-- A call with which several workers fell silent may have killed them: it goes to one worker at a
-- time, few at once, so that it does not take the same innocent ones with it until they are given up.
local function pop_ready()
  local suspect, suspects = tonumber(ARGV[6]), tonumber(ARGV[7])
  local members, scores, losses, passed = {}, {}, {}, {}
  local any_lost = redis.call('EXISTS', LOSSES) == 1
  while #members < limit and #passed < 2 * at_once do
    local popped = redis.call('ZPOPMIN', READY, limit - #members)
    if #popped == 0 then
      break
    end
    for i = 1, #popped, 2 do
      local lost = any_lost and tonumber(redis.call('HGET', LOSSES, popped[i]) or 0) or 0
      if lost >= suspect and suspects == 0 then
        passed[#passed + 1], passed[#passed + 2] = popped[i + 1], popped[i]
      else
        suspects = suspects - (lost >= suspect and 1 or 0)
        members[#members + 1] = popped[i]
        scores[#scores + 1], losses[#losses + 1] = popped[i + 1], lost
      end
    end
  end
  if #passed > 0 then
    redis.call('ZADD', READY, unpack(passed))
  end
  return members, scores, losses
end

local function take(token)
  local members, scores, losses = pop_ready()
  if #members == 0 then
    return {}
  end
  local leased, leases, answer = {}, {}, {}
  for i, attempts in ipairs(redis.call('HMGET', ATTEMPTS, unpack(members))) do
    local member, attempt, score = members[i], (attempts or 0) + 1, scores[i]
    leased[2 * i - 1], leased[2 * i] = worker, member
    leases[2 * i - 1], leases[2 * i] = member, lease_record(token, attempt, score)
    answer[4 * i - 3], answer[4 * i - 2] = member, attempt
    answer[4 * i - 1], answer[4 * i] = score, losses[i]
  end
  redis.call('HDEL', ATTEMPTS, unpack(members))
  redis.call('ZADD', LEASED, unpack(leased))
  redis.call('HSET', LEASES, unpack(leases))
  return answer
end

redis.call('ZADD', WORKERS, digits(now + ARGV[2]), worker)
local surplus = redis.call('ZCOUNT', LEASED, worker, worker) - ARGV[4]
local reclaimed = ARGV[5] == '1' and reclaim() or 0
promote()
local token = digits(now_us())
local taken = take(token)
return { token, surplus, reclaimed, counts(now), taken }
