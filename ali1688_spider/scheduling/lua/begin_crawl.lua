-- Join or start a crawl. ARGV: digest, ms since the process started, ms to remember the crawl.
-- Returns {'new', 'running' or 'finished', cursor}.

local digest, remember = ARGV[1], tonumber(ARGV[3])
local now = now_ms()

-- Forget crawls that nobody touched for long, except those whose calls are still queued: their slot
-- must not count for another crawl.
local function forget_expired()
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', CRAWL_EXPIRY, '-inf', now, 'LIMIT', 0, 100)) do
    local crawl = read_crawl(old)
    if crawl and crawl.slot > 0 and crawl.pending > 0 then
      write_crawl(old, crawl, now)
    else
      redis.call('HDEL', SLOTS, crawl and crawl.slot or 0)
      forget_crawl(old)
    end
  end
end

-- A slot whose crawl is unknown may be named by queued calls: it is free when none are queued.
local function free_unknown_slots()
  if queued_calls() > 0 then
    return
  end
  local slots = redis.call('HGETALL', SLOTS)
  for i = 1, #slots, 2 do
    local crawl = read_crawl(slots[i + 1])
    if not crawl or crawl.slot ~= tonumber(slots[i]) then
      redis.call('HDEL', SLOTS, slots[i])
    end
  end
end

-- Where the slots begin differs from time to time: those that are named by queued calls may have been
-- deleted.
local function free_slot()
  local first = last_sequence()
  for i = 0, POSITION - 2 do
    local slot = (first + i) % (POSITION - 1) + 1
    if redis.call('HSETNX', SLOTS, slot, digest) == 1 then
      return slot
    end
  end
  return 0
end

forget_expired()
local crawl = read_crawl(digest)
local status = crawl and (crawl.finished_at and 'finished' or 'running') or 'new'
if status == 'finished' and now - ARGV[2] > crawl.finished_at then
  status = 'new'
end
if status == 'new' then
  free_unknown_slots()
  crawl = { slot = free_slot(), cursor = 0, complete = false, pending = 0 }
end
crawl.remember = remember
write_crawl(digest, crawl, now)
return { status, crawl.cursor }
