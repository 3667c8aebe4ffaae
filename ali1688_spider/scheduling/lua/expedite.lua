-- Have calls made as soon as can be. ARGV: JSON [[member, priority or false], ...], each member once.
-- One that is delayed becomes ready, one that is ready moves forward; with false, neither does. One
-- that is leased at this moment is made once more, if it is repeated. Others are left out.
-- Returns how many are in the queue, or leased.

local now = now_ms()
local known = 0

local function expedite_leased(member, record, priority, sequence)
  local token, attempt, score, word = read_lease(record)
  if token and word ~= 'last' then
    score = merged(score, score_of(priority or 0, sequence, 0))
    redis.call('HSET', LEASES, member, lease_record(token, attempt, score, 'again'))
  end
end

local function expedite_delayed(member, priority, sequence)
  local old = read_score(redis.call('HGET', SCORES, member)) or 0
  redis.call('ZREM', DELAYED, member)
  redis.call('HDEL', SCORES, member)
  local score = score_of(math.max(priority, priority_of(old)), sequence, slot_of(old))
  redis.call('ZADD', READY, digits(score), member)
end

local entries = cjson.decode(ARGV[1])
local sequence = draw_sequence(#entries)
for i, entry in ipairs(entries) do
  local member, priority = unpack(entry)
  local record = redis.call('HGET', LEASES, member)
  local is_delayed = not record and redis.call('ZSCORE', DELAYED, member)
  local is_ready = not is_delayed and not record and redis.call('ZSCORE', READY, member)
  if record then
    expedite_leased(member, record, priority, sequence + i)
  elseif is_delayed and priority then
    expedite_delayed(member, priority, sequence + i)
  elseif is_ready and priority then
    merge_ready(member, score_of(priority, sequence + i, 0))
  end
  known = known + ((record or is_delayed or is_ready) and 1 or 0)
end
pay_crawls(now)
return known
