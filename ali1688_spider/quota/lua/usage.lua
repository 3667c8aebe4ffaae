-- Returns {calls of today, time until the next free slot, time until the next day, time until the
-- end of a pause}.

return {
  used,
  math.max(0, next_slot - now),
  reset_in,
  math.max(0, paused_until - now),
}
