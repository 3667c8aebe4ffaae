-- ARGV: sources. Returns for each when its last message was kept, in ms since 1970, or nothing.

return redis.call('HMGET', KEYS[3], unpack(ARGV))
