-- Keep what fetches made of watched products, and add their differences to the sums.
-- ARGV: product id, old text, new text, JSON {sum: difference}, ...
-- A change whose old text is no longer what is kept adds nothing: another worker was first, or the
-- product was unwatched. Before its first fetch a product has no text: it is watched while its call
-- is in the queue, as it is leased while it is fetched.

local function is_watched(id, entry)
  return entry or redis.call('HEXISTS', LEASES, id) == 1 or redis.call('ZSCORE', DELAYED, id)
    or redis.call('ZSCORE', READY, id)
end

for i = 1, #ARGV, 4 do
  local id, old, new = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local entry = redis.call('HGET', ENTRIES, id)
  if (entry or '') == old and is_watched(id, entry) then
    redis.call('HSET', ENTRIES, id, new)
    add_to_sums(cjson.decode(ARGV[i + 3]))
  end
end
return 1
