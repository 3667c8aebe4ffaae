-- What the scripts of this folder share; it stands before each of them. All times are microseconds.

local SCHEDULE = KEYS[1]
local SECOND = 1000000
local DAY = 86400 * SECOND
local EXPIRY = 2 * 86400 -- seconds
local SLOTS_AHEAD = 200 -- more than a worker reserves at once

local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]
local in_china = now + 8 * 3600 * SECOND
local today = math.floor(in_china / DAY)
local reset_in = DAY - in_china % DAY

-- Something else lies where the schedule belongs: it is set aside, and counting begins at 0.
local kind = redis.call('TYPE', SCHEDULE).ok
if kind ~= 'hash' and kind ~= 'none' then
  redis.call('RENAME', SCHEDULE, SCHEDULE .. ':broken')
end

-- A whole number within bounds; anything else counts as absent.
local function read(text, least, most)
  local number = tonumber(text or nil)
  return number and number >= least and number <= most and math.floor(number) or nil
end

local fields =
  redis.call('HMGET', SCHEDULE, 'next_slot', 'day', 'used', 'paused_at', 'paused_until')
local next_slot = read(fields[1], 0, 2 ^ 53) or 0
local used = read(fields[2], today, today) and read(fields[3], 0, 2 ^ 53) or 0

-- A pause that begins later than now was written before the clock went back: it counts no more.
local paused_at = read(fields[4], 0, now)
local paused_until = paused_at and read(fields[5], now, paused_at + DAY) or 0

-- A whole number with all its digits; Lua itself writes only 14.
local function digits(number)
  return string.format('%.0f', number)
end

local function store()
  redis.call('HSET', SCHEDULE, 'next_slot', digits(next_slot), 'day', today, 'used', digits(used))
  redis.call('EXPIRE', SCHEDULE, EXPIRY)
end
