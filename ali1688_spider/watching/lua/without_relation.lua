-- ARGV: which of KEYS holds the products with a relation, cursor, about how many to look at.
-- Returns the next cursor, then fetched products without the relation.

local found = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local ids, reply = {}, { found[1] }
for i = 1, #found[2], 2 do
  ids[#ids + 1] = found[2][i]
end
if #ids > 0 then
  for i, is_related in ipairs(redis.call('SMISMEMBER', KEYS[tonumber(ARGV[1])], unpack(ids))) do
    if is_related == 0 then
      reply[#reply + 1] = ids[i]
    end
  end
end
return reply
