"""What is kept in MongoDB, and how; imports nothing of Scrapy."""
