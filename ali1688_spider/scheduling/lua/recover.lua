-- Bring back what would never come out of the queue, since somebody deleted or wrote into one of its
-- keys and not into the one that belongs to it. ARGV: lease in ms, how many calls at most, about, then
-- where to go on: 1 and '0', or what the run before has returned.
-- Returns {how many calls were brought back, where to go on}; 0 stands for the end.

local limit, part, cursor = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
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

local function find_late()
  local late = { 'ZRANGEBYSCORE', DELAYED, '(' .. digits(now + FAR), '+inf', 'LIMIT', 0, limit }
  for _, member in ipairs(redis.call(unpack(late))) do
    redis.call('ZADD', DELAYED, digits(now), member)
    recovered = recovered + 1
  end
end

local function leases_agree()
  return redis.call('ZCARD', LEASED) == redis.call('HLEN', LEASES)
end

local function scores_agree()
  return redis.call('HLEN', SCORES) <= redis.call('ZCARD', DELAYED)
end

-- A lease stands in two keys, and a score belongs to a delayed call: what is in one of them only is
-- nobody's. Each is {whether the keys agree, how a key is read, the key, whether a call is in the other
-- one, what is done when it is not}.
local PARTS = {
  { leases_agree, 'ZSCAN', LEASED, function(member)
    return redis.call('HEXISTS', LEASES, member) == 1
  end, return_lease },
  { leases_agree, 'HSCAN', LEASES, function(member)
    return redis.call('ZSCORE', LEASED, member)
  end, return_lease },
  { scores_agree, 'HSCAN', SCORES, function(member)
    return redis.call('ZSCORE', DELAYED, member)
  end, function(member)
    redis.call('ZADD', DELAYED, digits(now), member)
  end },
}

-- Looks through one page, as the queue may be of any length.
local function find_orphans()
  while PARTS[part] do
    local agree, scan, key, is_known, bring_back = unpack(PARTS[part])
    if cursor ~= '0' or not agree() then
      local page
      cursor, page = unpack(redis.call(scan, key, cursor, 'COUNT', limit))
      for i = 1, #page, 2 do
        if not is_known(page[i]) then
          bring_back(page[i], false, now)
          recovered = recovered + 1
        end
      end
      part = cursor == '0' and part + 1 or part
      return
    end
    part = part + 1
  end
end

if part == 1 and cursor == '0' then
  find_workers()
  find_late()
end
find_orphans()
pay_crawls(now)
return { recovered, PARTS[part] and part or 0, cursor }
