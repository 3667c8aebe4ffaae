-- Queue the part of a crawl's source that no worker has queued yet.
-- ARGV: digest, index of the first entry, JSON [[member, priority, delay in ms], ...].
-- Returns {cursor, how many were not queued before}; the cursor is -1 when the crawl is unknown.

local digest, first = ARGV[1], tonumber(ARGV[2])
local now = now_ms()
local crawl = read_crawl(digest)
if not crawl then
  return { -1, 0 }
end
local entries = cjson.decode(ARGV[3])
local done = crawl.cursor - first -- negative: the source has to be read again from the cursor
local added = 0
if done >= 0 and done < #entries then
  local rest = {}
  for i = done + 1, #entries do
    rest[#rest + 1] = entries[i]
  end
  added = push(rest, crawl.slot, now)
  crawl.cursor = first + #entries
end
write_crawl(digest, crawl, now)
pay_crawls(now)
return { crawl.cursor, added }
