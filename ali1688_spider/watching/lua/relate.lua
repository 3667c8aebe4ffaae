-- ARGV: which of KEYS holds the products with a relation, product ids. Returns how many are new.

return redis.call('SADD', KEYS[tonumber(ARGV[1])], unpack(ARGV, 2))
