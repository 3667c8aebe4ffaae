"""How many calls may be made, and when: per second and per day, over all workers of one app."""
