-- ARGV: message ids. Returns for each when it was kept, or nothing.

return redis.call('ZMSCORE', KEYS[2], unpack(ARGV))
