"""What ``scrapy doctor`` looks at: one module for each party that a crawl depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        status: ``ok``; ``warn``: it works and should be changed; ``fail``: crawls will not work.
        subject: What was looked at.
        text: What was found and, unless it is well, what to do about it.
    """

    status: Literal["ok", "warn", "fail"]
    subject: str
    text: str
