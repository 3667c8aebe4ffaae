-- Keep a worker's leases. ARGV: worker, lease in ms, JSON that says who it is.
-- Returns 1, or 0 when its time had run out.

local now = now_ms()
local expiry = redis.call('ZSCORE', WORKERS, ARGV[1])
redis.call('ZADD', WORKERS, digits(now + ARGV[2]), ARGV[1])
redis.call('HSET', WORKER_INFO, ARGV[1], ARGV[3])
return expiry and tonumber(expiry) > now and 1 or 0
