"""The protocols of the 1688 gateway; imports nothing of Scrapy."""
