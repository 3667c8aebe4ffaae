-- What the scripts of this folder share; it stands before each of them. All times are microseconds.

local SCHEDULE = KEYS[1]
local SECOND = 1000000
local DAY = 86400 * SECOND
local EXPIRY = 2 * 86400 -- seconds

local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]
local in_china = now + 8 * 3600 * SECOND
local today = math.floor(in_china / DAY)
local reset_in = DAY - in_china % DAY

local fields = redis.call('HMGET', SCHEDULE, 'next_slot', 'day', 'used')
local next_slot = tonumber(fields[1] or 0)
local used = tonumber(fields[2]) == today and tonumber(fields[3]) or 0

-- A whole number with all its digits; Lua itself writes only 14.
local function digits(number)
  return string.format('%.0f', number)
end

local function store()
  redis.call('HSET', SCHEDULE, 'next_slot', digits(next_slot), 'day', today, 'used', digits(used))
  redis.call('EXPIRE', SCHEDULE, EXPIRY)
end
