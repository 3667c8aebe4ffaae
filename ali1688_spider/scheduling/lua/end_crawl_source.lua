-- Say that a crawl's source has no more entries. ARGV: digest, how many it had. Returns the cursor,
-- or -1 when the crawl is unknown; below the number of entries, the rest has to be queued first.

local now = now_ms()
local crawl = read_crawl(ARGV[1])
if not crawl then
  return -1
end
if crawl.cursor >= tonumber(ARGV[2]) then
  crawl.complete = true
end
write_crawl(ARGV[1], crawl, now)
return crawl.cursor
