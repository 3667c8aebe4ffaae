-- Which leases are no longer a worker's. ARGV: member, token, member, token, …
-- Returns those of the members that have another token, or none.

local lost = {}
for i = 1, #ARGV, 2 do
  if read_lease(redis.call('HGET', LEASES, ARGV[i])) ~= ARGV[i + 1] then
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
