-- ARGV: how many minutes, names of what is counted in each.
-- Returns {ms since 1970, {field of TOTALS, number, ...}, {line, ms until it expires, ...},
-- {number or false for each minute, the present one last, and each name}}.

local now = now_ms()
local lines = {}
local alive = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. digits(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 10000)
for i = 1, #alive, 2 do
  local line = redis.call('HGET', LINES, alive[i])
  if line then
    lines[#lines + 1], lines[#lines + 2] = line, math.min(alive[i + 1] - now, 2 ^ 53)
  end
end
local fields = {}
local minute = math.floor(now / 60000)
for each = minute - ARGV[1] + 1, minute do
  for i = 2, #ARGV do
    fields[#fields + 1] = digits(each) .. ' ' .. ARGV[i]
  end
end
return { now, redis.call('HGETALL', TOTALS), lines, redis.call('HMGET', MINUTES, unpack(fields)) }
