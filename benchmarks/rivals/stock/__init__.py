"""A small scrapy-redis project as people write one today: Scrapy's and scrapy-redis's defaults.

Besides what scrapy-redis asks for, its settings set the concurrency only, to the project's.
"""
