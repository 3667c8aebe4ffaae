-- Returns {calls of today, time until the next free slot, time until the next day}.

return { used, math.max(0, next_slot - now), reset_in }
