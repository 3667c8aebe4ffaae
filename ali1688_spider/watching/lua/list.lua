-- Which products are fetched next. ARGV: how many to pass over, how many at most.
-- Returns {how many calls there are, {product id, when it is due in ms or '', state or '', ...}}: first
-- those that are fetched at this moment, then those that are due, then the others by their time.

local WATCHED, READY, DELAYED, LEASED = unpack(KEYS)

local first, left = tonumber(ARGV[1]), tonumber(ARGV[2])
local total, products = 0, {}
for _, key in ipairs({ LEASED, READY, DELAYED }) do
  local size = redis.call('ZCARD', key)
  local found = {}
  if left > 0 and first < size then
    found = redis.call('ZRANGE', key, first, first + left - 1, 'WITHSCORES')
  end
  for i = 1, #found, 2 do
    if string.match(found[i], '^%d+$') then -- and no page of a search
      products[#products + 1] = found[i]
      products[#products + 1] = key == DELAYED and found[i + 1] or ''
      products[#products + 1] = redis.call('HGET', WATCHED, found[i]) or ''
    end
  end
  total, left = total + size, left - #found / 2
  first = math.max(0, first - size)
end
return { total, products }
