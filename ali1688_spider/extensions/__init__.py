"""Scrapy extensions: they observe a crawl and report on it."""
