-- Keep what fetches made of watched products, and add their differences to the sums.
-- KEYS: entries, sums. ARGV: JSON [[product id, old text, new text, {sum: difference}], ...].
-- A change whose old text is no longer what is kept adds nothing: another worker was first.

local ENTRIES, SUMS = KEYS[1], KEYS[2]
for _, change in ipairs(cjson.decode(ARGV[1])) do
  local id, old, new, differences = unpack(change)
  if (redis.call('HGET', ENTRIES, id) or '') == old then
    redis.call('HSET', ENTRIES, id, new)
    for name, difference in pairs(differences) do
      redis.call('HINCRBYFLOAT', SUMS, name, difference)
    end
  end
end
return 1
