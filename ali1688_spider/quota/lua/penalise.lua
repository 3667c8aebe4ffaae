-- Give out no slot for some time. ARGV: the time.

next_slot = math.max(next_slot, now + ARGV[1])
store()
