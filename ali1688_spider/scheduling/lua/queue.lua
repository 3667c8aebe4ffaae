-- What several scripts of this folder do; it stands before each of them. keys.py explains the keys.

local START, READY, DELAYED, SCORES, ATTEMPTS, LEASED, LEASES, WORKERS, SEQUENCE, CRAWLS, SLOTS,
  CRAWL_EXPIRY, INTAKE, READER, LOSSES, PAUSE, WORKER_INFO, TIMES = unpack(KEYS)

-- A score is -priority * PRIORITY + sequence * POSITION + slot, each part a whole number and all of
-- it below 2^53, so that a double holds it exactly.
local PRIORITY = 2 ^ 42
local POSITION = 2 ^ 8
local SEQUENCES = 2 ^ 34

local MOST_TIMES = 1500 -- a day of minutes
local ARGUMENTS = 1000 -- of one command; Lua cannot unpack more than some thousands

local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- A whole number with all its digits; Lua itself writes only 14.
local function digits(number)
  return string.format('%.0f', number)
end

-- Anybody may have written into these keys: what is not of the right form counts as absent.

local LARGEST = 2 ^ 53
local MOST_ATTEMPTS = 10 ^ 9

local function whole(value, least, most)
  local number = tonumber(value)
  if number and number >= least and number <= most and number == math.floor(number) then
    return number
  end
end

local function count_of(value)
  return whole(value, 0, MOST_ATTEMPTS) or 0
end

local function score_of(priority, sequence, slot)
  return -priority * PRIORITY + (sequence % SEQUENCES) * POSITION + slot
end

local function slot_of(score)
  return score % POSITION
end

local function priority_of(score)
  return -math.floor(score / PRIORITY)
end

local function has_sequence(score)
  return score % PRIORITY >= POSITION
end

local function without_sequence(score)
  return math.floor(score / PRIORITY) * PRIORITY + slot_of(score)
end

local function read_score(value)
  return whole(value, -LARGEST, LARGEST)
end

-- A score of a call that is ready; one without sequence is none of ours, and its slot means nothing.
local function read_ready_score(value)
  local score = read_score(value)
  return score and has_sequence(score) and score or nil
end

local function last_sequence()
  return whole(redis.call('GET', SEQUENCE), 0, LARGEST - 2 ^ 32) or 0
end

-- Note, once a minute, which sequence numbers were drawn by when.
local function note_time(last)
  local now, newest = now_ms(), redis.call('ZRANGE', TIMES, -1, -1, 'WITHSCORES')
  local noted = tonumber(newest[1]) or 0
  if newest[2] and tonumber(newest[2]) > last then
    redis.call('DEL', TIMES) -- somebody deleted the sequence, which began again
  elseif now >= noted and now < noted + 60000 then
    return
  end
  redis.call('ZADD', TIMES, digits(last), digits(now))
  redis.call('ZREMRANGEBYRANK', TIMES, 0, -MOST_TIMES - 1)
end

-- Draw sequence numbers; return the one before the first.
local function draw_sequence(count)
  local last = last_sequence()
  note_time(last)
  redis.call('SET', SEQUENCE, digits(last + count))
  return last
end

local function new_score()
  return score_of(0, draw_sequence(1) + 1, 0)
end

-- Crawls: a record is JSON {slot, cursor, complete, pending, finished_at, remember} with times in ms.

local owed = {} -- slot -> how many calls more, or fewer, its crawl waits for

local function owe(slot, count)
  owed[slot] = (owed[slot] or 0) + count
end

local function is_whole(value, least)
  return type(value) == 'number' and whole(value, least, LARGEST) ~= nil
end

local function is_crawl(crawl)
  return type(crawl) == 'table' and is_whole(crawl.slot, 0) and crawl.slot < POSITION
    and is_whole(crawl.cursor, 0) and is_whole(crawl.pending, 0) and is_whole(crawl.remember, 0)
    and type(crawl.complete) == 'boolean'
    and (crawl.finished_at == nil or is_whole(crawl.finished_at, 0))
end

local function read_crawl(digest)
  local readable, crawl = pcall(cjson.decode, redis.call('HGET', CRAWLS, digest) or '')
  if not readable or not is_crawl(crawl) then
    return nil
  end
  local holder = crawl.slot > 0 and redis.call('HGET', SLOTS, crawl.slot)
  if holder and holder ~= digest then
    return nil -- what is counted under the slot is another crawl's
  end
  return crawl
end

local function write_crawl(digest, crawl, now)
  if crawl.complete and crawl.pending == 0 and crawl.slot > 0 then
    redis.call('HDEL', SLOTS, crawl.slot)
    crawl.slot = 0
    crawl.finished_at = now
  elseif crawl.slot > 0 then
    redis.call('HSETNX', SLOTS, crawl.slot, digest)
  end
  redis.call('HSET', CRAWLS, digest, cjson.encode(crawl))
  redis.call('ZADD', CRAWL_EXPIRY, digits(now + crawl.remember), digest)
end

local function forget_crawl(digest)
  redis.call('HDEL', CRAWLS, digest)
  redis.call('ZREM', CRAWL_EXPIRY, digest)
end

-- The crawl that runs under a slot; somebody may have deleted what names it.
local function crawl_of(slot)
  local named = redis.call('HGET', SLOTS, slot)
  for _, digest in ipairs(named and { named } or redis.call('HKEYS', CRAWLS)) do
    local crawl = read_crawl(digest)
    if crawl and crawl.slot == slot then
      return digest, crawl
    end
  end
end

local function pay_crawls(now)
  for slot, count in pairs(owed) do
    if slot > 0 and count ~= 0 then
      local digest, crawl = crawl_of(slot)
      if crawl then
        crawl.pending = math.max(0, crawl.pending + count)
        write_crawl(digest, crawl, now)
      end
    end
  end
end

local function queued_calls()
  return redis.call('ZCARD', READY) + redis.call('ZCARD', DELAYED) + redis.call('ZCARD', LEASED)
end

-- Leases: a record is "token attempt score". A word may stand behind it: with "last" the call is not
-- queued again, since the queue was cleared meanwhile, and nobody has wanted the call since; with
-- "again" a call that is repeated is made at once, since it was expedited meanwhile.

local function lease_record(token, attempt, score, word)
  local record = token .. ' ' .. attempt .. ' ' .. digits(score)
  return word and record .. ' ' .. word or record
end

-- Returns token, attempt, score, and the word or nil; nil when there is no readable record.
local function read_lease(record)
  local token, attempt, score, word = string.match(record or '', '^(%S+) (%S+) (%S+) ?(%S*)$')
  attempt, score = whole(attempt, 0, MOST_ATTEMPTS), read_score(score)
  if attempt and score then
    return token, attempt, score, word ~= '' and word or nil
  end
end

local function drop_lease(member)
  redis.call('ZREM', LEASED, member)
  redis.call('HDEL', LEASES, member)
end

-- Queue a call that is in no queue; delay in ms.
local function enqueue(member, score, attempts, delay, now)
  if attempts > 0 then
    redis.call('HSET', ATTEMPTS, member, attempts)
  end
  if delay > 0 then
    redis.call('ZADD', DELAYED, digits(now + delay), member)
    redis.call('HSET', SCORES, member, digits(score))
  else
    redis.call('ZADD', READY, digits(score), member)
  end
end

-- Put a leased call back to its old place, unless its lease is the last; return whether it is queued.
local function return_lease(member, counted, now)
  local _, attempt, score, word = read_lease(redis.call('HGET', LEASES, member))
  attempt, score = attempt or 1, score or new_score()
  drop_lease(member)
  if word == 'last' then
    redis.call('HDEL', LOSSES, member)
    owe(slot_of(score), -1)
    return false
  end
  enqueue(member, score, counted and attempt or attempt - 1, 0, now)
  return true
end

local function forget_worker(worker)
  redis.call('ZREM', WORKERS, worker)
  redis.call('HDEL', WORKER_INFO, worker)
end

-- The score of a call that is known and wanted again: the higher priority and the later crawl win.
local function merged(old, new)
  if not old then
    owe(slot_of(new), 1)
    return new
  end
  local old_slot, slot = slot_of(old), slot_of(new)
  if slot == 0 then
    slot = old_slot
  elseif slot ~= old_slot then
    owe(old_slot, -1)
    owe(slot, 1)
  end
  local place = math.min(old, new) -- the new sequence is the higher one: it wins by priority alone
  return place - slot_of(place) + slot
end

local function merge_leased(member, record, score)
  local token, attempt, old, word = read_lease(record)
  if token then
    word = word == 'again' and word or nil
    redis.call('HSET', LEASES, member, lease_record(token, attempt, merged(old, score), word))
  end
end

local function merge_delayed(member, score)
  local old = read_score(redis.call('HGET', SCORES, member))
  redis.call('HSET', SCORES, member, digits(merged(old, score)))
end

local function merge_ready(member, score)
  local old = read_ready_score(redis.call('ZSCORE', READY, member))
  local new = merged(old, score)
  if new ~= old then
    redis.call('ZADD', READY, digits(new), member)
  end
end

-- Each member once, with the highest of its priorities.
local function distinct(entries)
  local members, by_member = {}, {}
  for _, entry in ipairs(entries) do
    local other = by_member[entry[1]]
    if not other then
      members[#members + 1] = entry[1]
    end
    if not other or entry[2] > other[2] then
      by_member[entry[1]] = entry
    end
  end
  return members, by_member
end

local function push_some(members, by_member, slot, now)
  local leases = redis.call('HMGET', LEASES, unpack(members))
  local due = redis.call('ZMSCORE', DELAYED, unpack(members))
  local sequence = draw_sequence(#members)
  local added = 0
  for i, member in ipairs(members) do
    local entry = by_member[member]
    local score = score_of(entry[2], sequence + i, slot)
    if leases[i] then
      merge_leased(member, leases[i], score)
    elseif due[i] then
      merge_delayed(member, score)
    elseif entry[3] > 0 and not redis.call('ZSCORE', READY, member) then
      enqueue(member, without_sequence(score), 0, entry[3], now)
      added = added + 1
    elseif redis.call('ZADD', READY, 'NX', digits(score), member) == 1 then
      added = added + 1
    else
      merge_ready(member, score)
    end
  end
  owe(slot, added)
  return added
end

-- Queue those of the entries {member, priority, delay in ms} that are neither ready nor delayed nor
-- leased; return how many.
local function push(entries, slot, now)
  local members, by_member = distinct(entries)
  local added = 0
  for first = 1, #members, ARGUMENTS do
    local some = { unpack(members, first, math.min(first + ARGUMENTS - 1, #members)) }
    added = added + push_some(some, by_member, slot, now)
  end
  return added
end

local FAR = 10 * 365 * 86400000 -- ms; nobody means so late a time

-- {messages of producers, ready, delayed, leased, ms until the next delayed one is due or -1}
local function counts(now)
  local lengths = { list = 'LLEN', set = 'SCARD', zset = 'ZCARD' }
  local length = lengths[redis.call('TYPE', START).ok]
  local messages = length and redis.call(length, START) or 0
  local reading = math.max(0, redis.call('LLEN', INTAKE) - 1)
  local next_due = redis.call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
  return {
    messages + reading,
    redis.call('ZCARD', READY),
    redis.call('ZCARD', DELAYED),
    redis.call('ZCARD', LEASED),
    next_due and math.min(math.max(0, next_due - now), FAR) or -1,
  }
end
