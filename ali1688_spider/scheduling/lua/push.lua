-- Queue calls. ARGV: JSON [[member, priority, delay in ms], ...], digest of the crawl they are for
-- or ''. Returns how many were not queued before.

local now = now_ms()
local crawl = ARGV[2] ~= '' and read_crawl(ARGV[2])
local added = push(cjson.decode(ARGV[1]), crawl and crawl.slot or 0, now)
pay_crawls(now)
return added
