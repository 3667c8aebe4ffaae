"""What ``scrapy doctor`` looks at: one module for each party that a crawl depends on."""
