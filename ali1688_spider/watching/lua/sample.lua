-- ARGV: how many. Returns entries, drawn without preference.

local drawn = redis.call('HRANDFIELD', ENTRIES, ARGV[1], 'WITHVALUES')
local entries = {}
for i = 2, #drawn, 2 do
  entries[#entries + 1] = drawn[i]
end
return entries
