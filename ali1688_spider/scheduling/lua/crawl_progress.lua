-- ARGV: digest, ms since the process started that asks, or '' for any crawl of this digest.
-- Returns {1 when the whole source is queued, calls not done}, or {} when the crawl is unknown. It is
-- also unknown when it was finished before that process started, and from now on when calls of it
-- have vanished from the queue: both mean that Redis lost what the process knows of.

local digest = ARGV[1]
local now = now_ms()
local crawl = read_crawl(digest)
if not crawl then
  return {}
end
if crawl.finished_at then
  local is_earlier = ARGV[2] ~= '' and now - ARGV[2] > crawl.finished_at
  return is_earlier and {} or { 1, 0 }
end
local queued = queued_calls()
if crawl.slot == 0 then
  crawl.pending = queued -- without a slot nobody counts for it: it waits for all
elseif crawl.pending > queued then
  forget_crawl(digest) -- and not its slot, which queued calls may name
  return {}
end
if crawl.complete and crawl.pending == 0 then
  crawl.finished_at = now
end
write_crawl(digest, crawl, now)
return { crawl.complete and 1 or 0, crawl.pending }
