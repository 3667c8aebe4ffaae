"""Which call is made next, and by whom: the queue in Redis, or Scrapy's own in one process."""
