-- ARGV: digest. Returns {1 when the whole source is queued, calls not done}, or {} when the crawl is
-- unknown.

local now = now_ms()
local crawl = read_crawl(ARGV[1])
if not crawl then
  return {}
end
local queued = redis.call('ZCARD', READY) + redis.call('ZCARD', DELAYED) + redis.call('ZCARD', LEASED)
if crawl.finished_at then
  return { 1, 0 }
elseif crawl.slot == 0 then
  crawl.pending = queued -- without a slot nobody counts for it: it waits for all
else
  crawl.pending = math.min(crawl.pending, queued) -- somebody may have deleted the queue
end
if crawl.complete and crawl.pending == 0 then
  crawl.finished_at = now
end
write_crawl(ARGV[1], crawl, now)
return { crawl.complete and 1 or 0, crawl.pending }
