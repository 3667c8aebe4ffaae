-- Returns {{messages, ready, delayed, leased, next due}, ms that the oldest call has waited which may be
-- made or -1, why the queue is paused or '', ms until that ends or -1,
-- {worker, ms until its leases run out, how many it has, who it is, ...}, how many delayed calls are due}.

local now = now_ms()

-- Calls are ordered by priority first: of each priority, the first one is the oldest.
local function oldest_sequence()
  local oldest
  local from = '-inf'
  for _ = 1, 2001 do
    local ready = redis.call('ZRANGEBYSCORE', READY, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    local score = read_ready_score(ready[2])
    if not score then
      break
    end
    local sequence = math.floor(score % PRIORITY / POSITION)
    oldest = math.min(oldest or sequence, sequence)
    from = digits((math.floor(score / PRIORITY) + 1) * PRIORITY)
  end
  return oldest
end

-- A sequence number was drawn in the minute that begins with the last time noted before it.
local function ready_for()
  local oldest = oldest_sequence()
  if not oldest then
    return -1
  end
  local before = { 'ZREVRANGEBYSCORE', TIMES, '(' .. digits(oldest), '-inf', 'LIMIT', 0, 1 }
  local time = redis.call(unpack(before))[1] or redis.call('ZRANGE', TIMES, 0, 0)[1]
  time = whole(time, 0, LARGEST)
  return time and math.max(0, now - time) or -1
end

-- A worker that is there makes them ready.
local function due_for()
  local first = redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
  return first[2] and math.min(now - first[2], FAR) or -1
end

local workers = {}
local known = redis.call('ZRANGE', WORKERS, 0, -1, 'WITHSCORES')
for i = 1, #known, 2 do
  local worker, left = known[i], math.max(-FAR, math.min(FAR, known[i + 1] - now))
  local leased = redis.pcall('ZCOUNT', LEASED, worker, worker)
  workers[#workers + 1], workers[#workers + 2] = worker, left
  workers[#workers + 1] = type(leased) == 'number' and leased or 0
  workers[#workers + 1] = redis.call('HGET', WORKER_INFO, worker) or ''
end
return {
  counts(now),
  math.max(ready_for(), due_for()),
  redis.call('GET', PAUSE) or '',
  math.max(-1, redis.call('PTTL', PAUSE)),
  workers,
  redis.call('ZCOUNT', DELAYED, '-inf', now),
}
