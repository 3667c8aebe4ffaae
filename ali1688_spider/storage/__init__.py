"""What MongoDB keeps, and how; imports nothing of Scrapy."""
