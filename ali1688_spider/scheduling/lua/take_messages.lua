-- Read the producers' oldest messages, for one reader at a time; they stay until they are settled.
-- ARGV: reader, how many at most, for how long they are the reader's, in ms.
-- Returns {number of the batch, message, ...}, or {} when there are none or another one reads.

local reader, limit = ARGV[1], ARGV[2]

local pop = {}

function pop.none()
  return {}
end

function pop.list()
  return redis.call('RPOP', START, limit)
end

function pop.set()
  return redis.call('SPOP', START, limit)
end

function pop.zset()
  local messages = {}
  for i, value in ipairs(redis.call('ZPOPMAX', START, limit)) do
    if i % 2 == 1 then
      messages[#messages + 1] = value
    end
  end
  return messages
end

local other = redis.call('GET', READER)
if other and other ~= reader then
  return {}
end
if redis.call('EXISTS', INTAKE) == 0 then
  local kind = redis.call('TYPE', START).ok
  if not pop[kind] then
    return redis.error_reply('WRONGTYPE ' .. START .. ' is a ' .. kind .. ' and has to be a list')
  end
  local messages = pop[kind]()
  if #messages == 0 then
    return {}
  end
  redis.call('RPUSH', INTAKE, digits(now_us()), unpack(messages))
end
redis.call('SET', READER, reader, 'PX', ARGV[3])
return redis.call('LRANGE', INTAKE, 0, -1)
