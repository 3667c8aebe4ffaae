-- Stands before each script. KEYS: see statistics.py.

local TOTALS, WORKERS, LINES, SEQUENCES, MINUTES = unpack(KEYS)

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(number)
  return string.format('%.0f', number)
end
