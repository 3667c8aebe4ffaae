-- Of products, or of looks. ARGV: how many. Returns the number of states, then some of them, drawn without preference.

local drawn = redis.call('HRANDFIELD', KEYS[1], ARGV[1], 'WITHVALUES')
local reply = { redis.call('HLEN', KEYS[1]) }
for i = 2, #drawn, 2 do
  reply[#reply + 1] = drawn[i]
end
return reply
