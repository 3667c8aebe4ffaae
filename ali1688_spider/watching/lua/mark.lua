-- Note that something of watched products has changed. ARGV: time in seconds since 1970, product ids.
-- The first note since a fetch stands behind the state; one that is not fetched yet needs none.

for i = 2, #ARGV do
  local state = redis.call('HGET', KEYS[1], ARGV[i])
  if state and string.sub(state, -1) == ']' then
    redis.call('HSET', KEYS[1], ARGV[i], state .. ARGV[1])
  end
end
return 1
