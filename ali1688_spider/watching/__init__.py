"""When a watched product is collected again.

Every fetch of a product shows whether it changed since the fetch before. Its change rate comes from
these observations, and its interval from that rate and from a sample of all products
(``schedule``): no list of products is ever sorted, so any number of workers keeps the schedule
together. ``watcher`` applies it to a store: in Redis for many workers (``redis_store``), else in a
file (``sqlite_store``).
"""
