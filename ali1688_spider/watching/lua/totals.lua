-- Returns {how many products are watched, name of a sum, sum, ...}.

local totals = redis.call('HGETALL', SUMS)
table.insert(totals, 1, redis.call('HLEN', ENTRIES))
return totals
