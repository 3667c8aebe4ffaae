-- Return calls that were reserved and not made. ARGV: how many, the day that they counted for.

if tonumber(ARGV[2]) == today then
  used = math.max(0, used - ARGV[1])
  store()
end
