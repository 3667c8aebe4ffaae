-- Add by how much a worker's counts have grown since its last addition that is known here. ARGV: worker,
-- ms until its line expires or 0 when it ends, its line, JSON {sequence, totals, minutes}: the number of
-- this addition, and all that it has counted so far, by field of TOTALS and by name of what is counted in
-- each minute; 1 when this worker has added before; how many minutes are kept.
--
-- An addition that comes again, or late, changes nothing. When Redis has lost some of them in a crash, the
-- next one brings what they had: the last one is lost along with the sums.

local worker, lease, line, text = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local has_added, kept_minutes = ARGV[5] == '1', tonumber(ARGV[6])
local now = now_ms()
local minute = math.floor(now / 60000)
local SILENT = 7 * 86400000 -- ms; a worker that is away for longer would be counted again
local ENDED = 600000 -- ms; the last addition may come again

local function read(record)
  local is_json, values = pcall(cjson.decode, record or '')
  if is_json and type(values) == 'table' and type(values.sequence) == 'number'
    and type(values.totals) == 'table' and type(values.minutes) == 'table' then
    return values
  end
end

local function increments(old, new)
  local grown = {}
  for name, number in pairs(new) do
    local before = tonumber(old[name]) or 0
    if number > before then
      grown[name] = number - before
    end
  end
  return grown
end

-- What somebody else wrote there, which is no number, gives way.
local function add(key, field, number)
  local digits = string.format('%.17g', number)
  local reply = redis.pcall('HINCRBYFLOAT', key, field, digits)
  if type(reply) == 'table' and reply.err then
    redis.call('HSET', key, field, digits)
  end
end

local function forget_minutes()
  if redis.call('HLEN', MINUTES) <= 8 * kept_minutes then
    return
  end
  for _, field in ipairs(redis.call('HKEYS', MINUTES)) do
    local at = tonumber(string.match(field, '^%d+ ')) or 0
    if at <= minute - kept_minutes or at > minute then
      redis.call('HDEL', MINUTES, field)
    end
  end
end

local new, old = read(text), read(redis.call('HGET', ADDED, worker))
if old and new.sequence <= old.sequence then
  return
end

-- First of all, since it may be refused: of what follows, nothing is.
redis.call('HSET', ADDED, worker, text)
for name, number in pairs(increments(old and old.totals or {}, new.totals)) do
  add(TOTALS, name, number)
end
if old or not has_added then -- else they were counted long ago, of which Redis knows no more
  for name, number in pairs(increments(old and old.minutes or {}, new.minutes)) do
    add(MINUTES, digits(minute) .. ' ' .. name, number)
  end
  forget_minutes()
end
if lease > 0 then
  redis.call('ZADD', WORKERS, digits(now + lease), worker)
  redis.call('HSET', LINES, worker, line)
else
  redis.call('ZADD', WORKERS, digits(now - SILENT + ENDED), worker)
  redis.call('HDEL', LINES, worker)
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', digits(now - SILENT), 'LIMIT', 0, 100)) do
  redis.call('ZREM', WORKERS, gone)
  redis.call('HDEL', LINES, gone)
  redis.call('HDEL', ADDED, gone)
end
