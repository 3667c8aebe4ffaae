"""The report: one page on what happened to prices and stock, and on how the crawls went."""
