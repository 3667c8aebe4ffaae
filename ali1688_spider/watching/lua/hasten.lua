-- Let calls be due in some time at the latest.
-- ARGV: time in ms, how many calls at most. Returns how many were due later.

local time = redis.call('TIME')
local latest = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local due = string.format('%.0f', latest)
local calls = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. due, '+inf', 'LIMIT', 0, ARGV[2])
if #calls > 0 then
  local moved = {}
  for i, call in ipairs(calls) do
    moved[2 * i - 1], moved[2 * i] = due, call
  end
  redis.call('ZADD', KEYS[3], unpack(moved))
end
return #calls
