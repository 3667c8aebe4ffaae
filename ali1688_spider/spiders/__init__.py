"""The spiders: what is collected. One per file; ``api_spider.py`` is what they share."""
