-- ARGV: product ids. Returns the state of each, or nothing.

return #ARGV > 0 and redis.call('HMGET', KEYS[1], unpack(ARGV)) or {}
