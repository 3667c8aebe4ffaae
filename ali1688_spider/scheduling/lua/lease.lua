-- Lease calls. ARGV: worker, lease in ms, how many at most, how many the worker holds, 1 to reclaim
-- calls of silent workers, how many losses make a call a poison candidate, how many candidates at most.
-- Returns {token, surplus, calls reclaimed, {messages, ready, delayed, leased, next due},
-- {member, attempt, score, losses, ...}, why the queue is paused or '', ms until the leases of another
-- worker run out or -1}; a positive surplus says that the worker holds less than it leased, a negative
-- one that it lost some.

local pause = redis.call('GET', PAUSE) or ''
local worker, limit = ARGV[1], pause == '' and tonumber(ARGV[3]) or 0
local at_once = limit + 100 -- bounds what one script promotes, reclaims or passes over
local now = now_ms()

local PAGE = 50
local MOST_BYTES = 2 ^ 20 -- of what is leased at once; an entry beyond it comes alone

local function reclaim()
  local reclaimed = 0
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', now, 'LIMIT', 0, 10)) do
    local room = at_once - reclaimed
    -- The name of what is no worker may be no number.
    local members = redis.pcall('ZRANGEBYSCORE', LEASED, gone, gone, 'LIMIT', 0, room)
    for _, member in ipairs(members) do
      local lost = count_of(redis.call('HGET', LOSSES, member))
      if return_lease(member, true, now) then
        redis.call('HSET', LOSSES, member, lost + 1)
      end
    end
    if #members < room then
      forget_worker(gone)
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
  local sequence = draw_sequence(#members)
  local ready = {}
  for i, score in ipairs(redis.call('HMGET', SCORES, unpack(members))) do
    score = read_score(score) or 0
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
local function choose()
  local poisonous, candidates = tonumber(ARGV[6]), tonumber(ARGV[7])
  local members, scores, losses = {}, {}, {}
  local start, bytes, passed = 0, 0, 0
  local any_lost = redis.call('EXISTS', LOSSES) == 1
  while #members < limit and bytes < MOST_BYTES and passed < at_once do
    local page = redis.call('ZRANGE', READY, start, start + PAGE - 1, 'WITHSCORES')
    if #page == 0 then
      break
    end
    for i = 1, #page, 2 do
      if #members == limit or bytes >= MOST_BYTES then
        break
      end
      local lost = any_lost and count_of(redis.call('HGET', LOSSES, page[i])) or 0
      if lost >= poisonous and candidates == 0 then
        passed = passed + 1
      else
        candidates = candidates - (lost >= poisonous and 1 or 0)
        members[#members + 1] = page[i]
        scores[#scores + 1], losses[#losses + 1] = page[i + 1], lost
        bytes = bytes + #page[i]
      end
    end
    start = start + PAGE
  end
  return members, scores, losses
end

local function take(token)
  local members, scores, losses = choose()
  if #members == 0 then
    return {}
  end
  local leased, leases, reply = {}, {}, {}
  for i, attempts in ipairs(redis.call('HMGET', ATTEMPTS, unpack(members))) do
    local member, attempt = members[i], count_of(attempts) + 1
    local score = read_ready_score(scores[i]) or new_score()
    leased[2 * i - 1], leased[2 * i] = worker, member
    leases[2 * i - 1], leases[2 * i] = member, lease_record(token, attempt, score)
    reply[4 * i - 3], reply[4 * i - 2] = member, attempt
    reply[4 * i - 1], reply[4 * i] = digits(score), losses[i]
  end
  redis.call('ZADD', LEASED, unpack(leased))
  redis.call('HSET', LEASES, unpack(leases))
  redis.call('ZREM', READY, unpack(members))
  redis.call('HDEL', ATTEMPTS, unpack(members))
  return reply
end

-- The worker of which was not heard for longest, beside this one.
local function takeover_in()
  if redis.call('ZCARD', LEASED) == redis.call('ZCOUNT', LEASED, worker, worker) then
    return -1
  end
  local first = redis.call('ZRANGE', WORKERS, 0, 1, 'WITHSCORES')
  local expiry = first[1] == worker and first[4] or first[2]
  return expiry and math.max(0, math.min(expiry - now, FAR)) or -1
end

redis.call('ZADD', WORKERS, digits(now + ARGV[2]), worker)
local surplus = redis.call('ZCOUNT', LEASED, worker, worker) - ARGV[4]
local reclaimed = ARGV[5] == '1' and reclaim() or 0
promote()
local token = digits(now_us())
local taken = take(token)
pay_crawls(now)
return { token, surplus, reclaimed, counts(now), taken, pause, takeover_in() }
