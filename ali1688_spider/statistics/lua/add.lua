-- Add what a worker has counted since it last did. ARGV: worker, number of this addition, ms until its
-- line expires or 0 when it ends, its line, JSON of {statistic: number}, JSON of {name: number} for
-- this minute, how many minutes are kept. An addition that comes again, since its reply was lost,
-- changes nothing but the line.

local worker, sequence, lease, line = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local now = now_ms()

-- The number of the last addition outlives the line by a day: what Redis did not confirm comes again.
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', digits(now - 86400000), 'LIMIT', 0, 100)) do
  redis.call('ZREM', WORKERS, silent)
  redis.call('HDEL', LINES, silent)
  redis.call('HDEL', SEQUENCES, silent)
end

local last = tonumber(redis.call('HGET', SEQUENCES, worker) or 0)
if sequence > last then
  for name, number in pairs(cjson.decode(ARGV[5])) do
    redis.call('HINCRBYFLOAT', TOTALS, name, string.format('%.17g', number))
  end
  local minute = math.floor(now / 60000)
  for name, number in pairs(cjson.decode(ARGV[6])) do
    redis.call('HINCRBYFLOAT', MINUTES, digits(minute) .. ' ' .. name, string.format('%.17g', number))
  end
  local kept = tonumber(ARGV[7])
  if redis.call('HLEN', MINUTES) > 8 * kept then
    for _, field in ipairs(redis.call('HKEYS', MINUTES)) do
      if (tonumber(string.match(field, '^%d+')) or 0) <= minute - kept then
        redis.call('HDEL', MINUTES, field)
      end
    end
  end
end
redis.call('ZADD', WORKERS, digits(now + lease), worker)
redis.call('HSET', SEQUENCES, worker, digits(math.max(sequence, last)))
if lease > 0 then
  redis.call('HSET', LINES, worker, line)
else
  redis.call('HDEL', LINES, worker)
end
