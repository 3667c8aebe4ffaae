-- Lease calls. ARGV: worker, lease in ms, how many at most, how many the worker holds.
-- Returns {token, surplus, calls reclaimed, {messages, ready, delayed, leased, next due},
-- {member, attempt, score, ...}}; a positive surplus says that the worker holds less than it leased.

local worker, limit = ARGV[1], tonumber(ARGV[3])
local at_once = limit + 100 -- bounds what one script promotes or reclaims
local now = now_ms()

local function reclaim()
  local reclaimed = 0
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', now, 'LIMIT', 0, 10)) do
    local room = at_once - reclaimed
    local members = redis.call('ZRANGEBYSCORE', LEASED, gone, gone, 'LIMIT', 0, room)
    for _, member in ipairs(members) do
      return_lease(member, true, now)
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

local function take(token)
  local popped = limit > 0 and redis.call('ZPOPMIN', READY, limit) or {}
  if #popped == 0 then
    return {}
  end
  local members, leased, leases, answer = {}, {}, {}, {}
  for i = 1, #popped, 2 do
    members[#members + 1] = popped[i]
  end
  for i, attempts in ipairs(redis.call('HMGET', ATTEMPTS, unpack(members))) do
    local member, attempt, score = members[i], (attempts or 0) + 1, popped[2 * i]
    leased[2 * i - 1], leased[2 * i] = worker, member
    leases[2 * i - 1], leases[2 * i] = member, lease_record(token, attempt, score)
    answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = member, attempt, score
  end
  redis.call('HDEL', ATTEMPTS, unpack(members))
  redis.call('ZADD', LEASED, unpack(leased))
  redis.call('HSET', LEASES, unpack(leases))
  return answer
end

redis.call('ZADD', WORKERS, digits(now + ARGV[2]), worker)
local surplus = redis.call('ZCOUNT', LEASED, worker, worker) - ARGV[4]
local reclaimed = reclaim()
promote()
local token = digits(now_us())
local taken = take(token)
return { token, surplus, reclaimed, counts(now), taken }
