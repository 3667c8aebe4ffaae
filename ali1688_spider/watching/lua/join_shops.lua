-- Keep which watched products shops have. ARGV: shop, product id or '', ...
-- Returns how many each shop has, no more than its pages can show.

local SHOPS = KEYS[3]
local MOST = 2000
local reply = {}
for i = 1, #ARGV, 2 do
  local shop, id = ARGV[i], ARGV[i + 1]
  local products = redis.call('HGET', SHOPS, shop) or ','
  local _, commas = string.gsub(products, ',', '')
  local count = commas - 1
  if id ~= '' and count < MOST and not string.find(products, ',' .. id .. ',', 1, true) then
    redis.call('HSET', SHOPS, shop, products .. id .. ',')
    count = count + 1
  end
  reply[#reply + 1] = count
end
return reply
