"""The report: one page that says what happened to prices and stock, and how the crawls went."""
