-- Take slots. ARGV: how many at most, interval, calls per day (0 for no limit), lead, horizon.
-- Returns {time until the first slot, slots, day}; with no slots, the time until it is worth asking
-- again; with -1 slots, the day has no calls left and ends in that time.
-- The same as MemoryQuota.reserve in limits.py.

local count, interval, daily_quota = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lead, horizon = tonumber(ARGV[4]), tonumber(ARGV[5])

if daily_quota > 0 and used >= daily_quota then
  return { reset_in, -1, today }
end
-- No reservation reaches further: the clock has gone back since.
if next_slot - now > horizon + lead + SLOTS_AHEAD * interval then
  next_slot = now
end
local pause = paused_until - now
if pause > 0 then
  return { math.min(pause, reset_in), 0, today }
end
local wait = math.max(next_slot - now, lead)
if wait >= reset_in then
  return { reset_in, 0, today }
end
if wait > math.max(horizon, lead) then
  return { wait - horizon, 0, today }
end
if daily_quota > 0 then
  count = math.min(count, daily_quota - used)
end
if interval > 0 then
  count = math.min(count, math.floor((reset_in - wait) / interval) + 1)
end
next_slot = now + wait + count * interval
used = used + count
store()
return { wait, count, today }
