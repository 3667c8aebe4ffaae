-- Keep the states of watched products. ARGV: product id, state, ...
-- A product that was unwatched meanwhile does not come back. Before its first fetch a product has no
-- state: it is watched while its call is in the queue, and leased while it is fetched.
-- A hint that came while it was fetched stays: the response may be older.

local WATCHED, READY, DELAYED, _, _, _, LEASES = unpack(KEYS)

for i = 1, #ARGV, 2 do
  local id, state = ARGV[i], ARGV[i + 1]
  local lease = redis.call('HGET', LEASES, id)
  if lease and string.sub(lease, -6) == ' again' then
    local now = redis.call('TIME')[1]
    state = state .. now .. ',' .. now .. ',0,0' -- it is counted
  end
  if lease or redis.call('HEXISTS', WATCHED, id) == 1
    or redis.call('ZSCORE', DELAYED, id) or redis.call('ZSCORE', READY, id) then
    redis.call('HSET', WATCHED, id, state)
  end
end
return 1
