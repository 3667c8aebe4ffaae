-- ARGV: a look's call, its state, then product id, what is known of its rows, ...

local LOOKS, ROWS = unpack(KEYS)
redis.call('HSET', LOOKS, ARGV[1], ARGV[2])
for i = 3, #ARGV, 2 do
  redis.call('HSET', ROWS, ARGV[i], ARGV[i + 1])
end
return 1
