-- Let the calls that are leased end without being queued again. Returns them.

local members = redis.call('ZRANGE', LEASED, 0, -1)
for _, member in ipairs(members) do
  local token, attempt, score, word = read_lease(redis.call('HGET', LEASES, member))
  if token and word ~= 'last' then
    redis.call('HSET', LEASES, member, lease_record(token, attempt, score, 'last'))
  end
end
return members
