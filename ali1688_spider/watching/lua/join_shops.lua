-- Keep which watched products shops have. ARGV: shop, product id or '', ...
-- Returns how many each shop has.

local SHOPS = KEYS[3]
local reply = {}
for i = 1, #ARGV, 2 do
  local shop, id = ARGV[i], ARGV[i + 1]
  local products = redis.call('HGET', SHOPS, shop) or ','
  if id ~= '' and not string.find(products, ',' .. id .. ',', 1, true) then
    products = products .. id .. ','
    redis.call('HSET', SHOPS, shop, products)
  end
  local _, commas = string.gsub(products, ',', '')
  reply[#reply + 1] = commas - 1
end
return reply
