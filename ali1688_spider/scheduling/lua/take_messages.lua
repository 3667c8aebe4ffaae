-- Read the producers' oldest messages, for one reader at a time; they stay until they are settled.
-- ARGV: reader, how many at most, for how long they are the reader's, in ms, how many bytes at once,
-- how many bytes of each.
-- Returns {number of the batch, beginning of a message, its length, ...}, or {} when there are none
-- or another one reads.

local reader, limit, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local most_bytes, longest = tonumber(ARGV[4]), tonumber(ARGV[5])

-- Each moves one message, the oldest, and returns it.
local move = {}

function move.list()
  return redis.call('LMOVE', START, INTAKE, 'RIGHT', 'RIGHT')
end

function move.set()
  local message = redis.call('SPOP', START)
  redis.call('RPUSH', INTAKE, message)
  return message
end

function move.zset()
  local message = redis.call('ZPOPMAX', START)[1]
  redis.call('RPUSH', INTAKE, message)
  return message
end

local function take()
  if redis.call('EXISTS', START) == 0 then
    return
  end
  redis.call('RPUSH', INTAKE, digits(now_us()))
  local kind = redis.call('TYPE', START).ok
  local count, bytes = 0, 0
  while count < limit and bytes < most_bytes and redis.call('EXISTS', START) == 1 do
    bytes = bytes + #move[kind]()
    count = count + 1
  end
end

local function is_number(text)
  return string.match(text, '^' .. string.rep('%d', 16) .. '$') -- microseconds since 1970
end

local function read()
  local first = redis.call('LINDEX', INTAKE, 0)
  if not is_number(first) then
    redis.call('LPUSH', INTAKE, digits(now_us())) -- somebody else wrote into the list
  end
  local reply, bytes = { redis.call('LINDEX', INTAKE, 0) }, 0
  for i = 1, limit do
    local message = bytes < most_bytes and redis.call('LINDEX', INTAKE, i)
    if not message then
      break
    end
    bytes = bytes + #message
    reply[2 * i], reply[2 * i + 1] = string.sub(message, 1, longest), #message
  end
  return reply
end

local other, left = redis.call('GET', READER), redis.call('PTTL', READER)
if other and other ~= reader and left > 0 and left <= lease then
  return {}
end
if redis.call('EXISTS', INTAKE) == 0 then
  take()
end
if redis.call('EXISTS', INTAKE) == 0 then
  return {}
end
redis.call('SET', READER, reader, 'PX', lease)
return read()
