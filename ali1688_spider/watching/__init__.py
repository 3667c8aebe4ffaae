"""When a watched product is collected again.

Every fetch of a product says whether it changed since the fetch before. From these observations
comes the product's change rate (``change_rate``), from the rate what another fetch is worth
(``crawl_value``), and from that the time until the next one (``strategies``, ``schedule``). The
schedule needs one product's own state (``product``) and a few sums over all of them (``totals``):
no list of products is ever sorted, so that any number of workers keeps it together.

These are pure arithmetic. ``watcher`` puts them to work over a ``store``: in Redis for many workers
(``redis_store``), else in a file (``sqlite_store``).
"""
