-- Stands before each script. KEYS: see sums.py.

local TOTALS, WORKERS, LINES, ADDED, MINUTES = unpack(KEYS)

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(number)
  return string.format('%.0f', number)
end
