-- Bring back what would never come out of the queue, since somebody deleted or wrote into one of its
-- keys and not into the one that belongs to it. ARGV: lease in ms, how many calls at most.
-- Returns how many calls were brought back.

local limit = tonumber(ARGV[2])
local now = now_ms()
local recovered = 0

-- A holder that is not among the workers would never be found silent: it gets one lease's time to be
-- heard.
local function find_workers()
  local due = digits(now + ARGV[1])
  local holder = redis.call('ZRANGE', LEASED, 0, 0, 'WITHSCORES')[2]
  for _ = 1, limit do
    if not holder then
      break
    end
    redis.call('ZADD', WORKERS, 'NX', due, holder)
    local next = { 'ZRANGEBYSCORE', LEASED, '(' .. holder, '+inf', 'WITHSCORES', 'LIMIT', 0, 1 }
    holder = redis.call(unpack(next))[2]
  end
  local late = { 'ZRANGEBYSCORE', WORKERS, '(' .. digits(now + FAR), '+inf', 'LIMIT', 0, limit }
  for _, worker in ipairs(redis.call(unpack(late))) do
    redis.call('ZADD', WORKERS, due, worker)
  end
end

-- Calls with visit each field of a hash, a page at a time, until enough are recovered.
local function each_field(key, visit)
  local cursor = '0'
  repeat
    local page
    cursor, page = unpack(redis.call('HSCAN', key, cursor, 'COUNT', 1000))
    for i = 1, #page, 2 do
      visit(page[i], page[i + 1])
    end
  until cursor == '0' or recovered >= limit
end

-- A lease stands in two keys; a call that is in one of them only is nobody's.
local function find_leases()
  if redis.call('ZCARD', LEASED) == redis.call('HLEN', LEASES) then
    return
  end
  for _, member in ipairs(redis.call('ZRANGE', LEASED, 0, -1)) do
    if redis.call('HEXISTS', LEASES, member) == 0 then
      return_lease(member, false, now)
      recovered = recovered + 1
    end
  end
  each_field(LEASES, function(member)
    if not redis.call('ZSCORE', LEASED, member) then
      return_lease(member, false, now)
      recovered = recovered + 1
    end
  end)
end

local function find_scores()
  if redis.call('HLEN', SCORES) <= redis.call('ZCARD', DELAYED) then
    return
  end
  each_field(SCORES, function(member)
    if not redis.call('ZSCORE', DELAYED, member) then
      redis.call('ZADD', DELAYED, digits(now), member)
      recovered = recovered + 1
    end
  end)
end

local function find_late()
  local late = { 'ZRANGEBYSCORE', DELAYED, '(' .. digits(now + FAR), '+inf', 'LIMIT', 0, limit }
  for _, member in ipairs(redis.call(unpack(late))) do
    redis.call('ZADD', DELAYED, digits(now), member)
    recovered = recovered + 1
  end
end

find_workers()
find_leases()
find_scores()
find_late()
pay_crawls(now)
return recovered
