-- What all workers know of an outage of the gateway. All times are microseconds.
-- ARGV: action, time between two probes at first, at most, time until a probe is taken for lost.
-- Actions: 'is_known' returns 1 or 0; 'begin'; 'ask' returns 0 when the caller is to probe, else the time
-- until it is worth asking, or -1 when there is no outage; 'probe_failed'; 'end'.

local OUTAGE = KEYS[1]
local EXPIRY = 600 -- seconds

local action, base, cap, lost = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function store(probes, next_probe)
  redis.call('HSET', OUTAGE, 'probes', probes, 'next_probe', string.format('%.0f', next_probe))
  redis.call('EXPIRE', OUTAGE, EXPIRY)
end

local kind = redis.call('TYPE', OUTAGE).ok
if action == 'end' or (kind ~= 'hash' and kind ~= 'none') then
  redis.call('DEL', OUTAGE)
  kind = 'none'
end
if kind == 'none' then
  if action == 'begin' then
    store(0, now + base)
  end
  return action == 'ask' and -1 or 0
end

local fields = redis.call('HMGET', OUTAGE, 'probes', 'next_probe')
local probes = tonumber(fields[1] or nil) or 0
local next_probe = tonumber(fields[2] or nil) or 0

if action == 'probe_failed' then
  probes = math.max(0, math.min(probes, 60)) + 1
  store(probes, now + math.min(cap, base * 2 ^ probes))
elseif action == 'ask' then
  local wait = next_probe - now
  -- What lies further ahead than any probe comes from a clock that went back.
  if wait > 0 and wait <= lost then
    redis.call('EXPIRE', OUTAGE, EXPIRY)
    return wait
  end
  store(probes, now + lost)
end
return action == 'is_known' and 1 or 0
