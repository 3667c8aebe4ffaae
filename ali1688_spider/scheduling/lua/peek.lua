-- The next calls. ARGV: how many at most.
-- Returns {member, score, attempts, ms until it is due, ...}; ready ones first, then the delayed ones.

local now, limit = now_ms(), tonumber(ARGV[1])
local reply = {}

local function add(member, score, due)
  local attempts = count_of(redis.call('HGET', ATTEMPTS, member))
  for _, part in ipairs({ member, digits(read_score(score) or 0), attempts, due }) do
    reply[#reply + 1] = part
  end
end

local ready = redis.call('ZRANGE', READY, 0, limit - 1, 'WITHSCORES')
for i = 1, #ready, 2 do
  add(ready[i], ready[i + 1], 0)
end
limit = limit - #ready / 2
local delayed = limit > 0 and redis.call('ZRANGE', DELAYED, 0, limit - 1, 'WITHSCORES') or {}
for i = 1, #delayed, 2 do
  local due = math.min(math.max(0, delayed[i + 1] - now), FAR)
  add(delayed[i], redis.call('HGET', SCORES, delayed[i]), due)
end
return reply
