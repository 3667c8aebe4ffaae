-- Let no worker take leases. ARGV: JSON that says who paused it and why, or '' to go on; for how many
-- ms, 0 until further notice. Returns 1 when the queue was paused before.

local was_paused = redis.call('EXISTS', PAUSE)
if ARGV[1] == '' then
  redis.call('DEL', PAUSE)
elseif ARGV[2] == '0' then
  redis.call('SET', PAUSE, ARGV[1])
else
  redis.call('SET', PAUSE, ARGV[1], 'PX', ARGV[2])
end
return was_paused
