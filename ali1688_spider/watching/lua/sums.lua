-- What the scripts of this folder share that keep entries; it stands before each of them.
-- KEYS: entries, sums, then of the queue: ready, delayed, leased, scores, attempts, leases, losses.

local ENTRIES, SUMS, READY, DELAYED, LEASED, SCORES, ATTEMPTS, LEASES, LOSSES = unpack(KEYS)

local LARGEST = 1e300

-- A sum that is no number counts as absent, and the others go on.
local function add_to_sums(differences)
  for name, difference in pairs(differences) do
    local sum = tonumber(redis.call('HGET', SUMS, name) or 0)
    if not (sum and sum > -LARGEST and sum < LARGEST) then
      redis.call('HDEL', SUMS, name)
    end
    redis.call('HINCRBYFLOAT', SUMS, name, difference)
  end
end
