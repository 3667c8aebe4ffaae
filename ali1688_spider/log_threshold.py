"""Has no log record made that no handler takes.

Scrapy gives LOG_LEVEL to its handlers only: whatever is below is still made, formatted so that
secrets can be looked for, and thrown away. For each call that is some ten records, of Scrapy and of
pymongo.
"""

from __future__ import annotations

import logging

# The second has a level of its own, given by Scrapy.
_LOGGERS = ("", "scrapy")


def raise_log_threshold() -> None:
    """Give the loggers the level of the root logger's most talkative handler."""
    lowest = min((handler.level for handler in logging.root.handlers), default=logging.NOTSET)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(lowest)
