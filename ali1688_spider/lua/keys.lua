-- Nothing can be read of a key that holds something of another type: it is set aside under a name of
-- its own, with nothing of it deleted, and the script is run again (scripts.py). This stands before
-- every script; before it stands TYPES, with the types that each of the KEYS may have.

local aside = {}
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and not string.find(' ' .. TYPES[i] .. ' ', ' ' .. kind .. ' ', 1, true) then
    -- In braces, the name stays on the node of its key.
    local name = string.find(key, '{', 1, true) and key or '{' .. key .. '}'
    local time = redis.call('TIME')
    name = name .. ':broken:' .. time[1] .. string.format('%06d', time[2])
    redis.call('RENAME', key, name)
    aside[#aside + 1] = key .. '\t' .. kind .. '\t' .. name
  end
end
if #aside > 0 then
  return redis.error_reply('SETASIDE ' .. table.concat(aside, '\t'))
end
