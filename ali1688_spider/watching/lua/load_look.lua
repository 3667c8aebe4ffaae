-- ARGV: a look's call, product ids. Returns its state, then what is known of each product's rows.

local LOOKS, ROWS = unpack(KEYS)
local reply = { redis.call('HGET', LOOKS, ARGV[1]) or '' }
for i = 2, #ARGV do
  reply[i] = redis.call('HGET', ROWS, ARGV[i]) or ''
end
return reply
