"""Why there is no slot for a call."""

from __future__ import annotations

from ali1688_spider.exceptions import Ali1688Error


class DailyQuotaExhaustedError(Ali1688Error):
    """The day's calls are used up.

    Attributes:
        reset_in: Seconds until the next day begins in China (GMT+8).
    """

    def __init__(self, reset_in: float) -> None:
        super().__init__(f"the day's calls are used up; the next day begins in {reset_in:.0f} s")
        self.reset_in = reset_in


class QuotaUnavailableError(Ali1688Error):
    """The quota's state cannot be reached at present; without it no call may be made."""
