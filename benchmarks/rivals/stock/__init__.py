"""A small scrapy-redis project as people write one today: Scrapy's and scrapy-redis's defaults."""
