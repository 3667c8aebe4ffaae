-- Keep a worker's leases. ARGV: worker, lease in ms. Returns 1, or 0 when its time had run out.

local now = now_ms()
local expiry = redis.call('ZSCORE', WORKERS, ARGV[1])
redis.call('ZADD', WORKERS, digits(now + ARGV[2]), ARGV[1])
return expiry and tonumber(expiry) > now and 1 or 0
