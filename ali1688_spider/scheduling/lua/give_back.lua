-- Put a worker's leases back, uncounted, except those of the members that it names.
-- ARGV: worker, how many at most, 1 when the worker leaves, members that it still works on.
-- Returns how many were put back.

local worker, limit = ARGV[1], tonumber(ARGV[2])
local now = now_ms()
local held = {}
for i = 4, #ARGV do
  held[ARGV[i]] = true
end

local returned = 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', LEASED, worker, worker)) do
  if not held[member] and returned < limit then
    return_lease(member, false, now)
    returned = returned + 1
  end
end
if ARGV[3] == '1' and redis.call('ZCOUNT', LEASED, worker, worker) == 0 then
  forget_worker(worker)
end
pay_crawls(now)
return returned
