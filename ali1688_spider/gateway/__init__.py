"""What the 1688 gateway expects and answers; imports nothing of Scrapy."""
