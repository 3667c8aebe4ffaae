-- Give out no slot for some time; 0 ends a pause. ARGV: the time.

local length = tonumber(ARGV[1])
paused_until = length > 0 and math.max(paused_until, now + length) or 0
if length == 0 then
  next_slot = math.min(next_slot, now)
end
store()
redis.call(
  'HSET', SCHEDULE, 'paused_at', digits(now), 'paused_until', digits(paused_until)
)
