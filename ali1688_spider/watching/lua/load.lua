-- ARGV: product ids. Returns the entry of each, or nothing.

local entries = {}
for i, id in ipairs(ARGV) do
  entries[i] = redis.call('HGET', ENTRIES, id)
end
return entries
