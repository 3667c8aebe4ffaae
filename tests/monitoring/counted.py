"""Finds the statistics that the code counts, by reading it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import ali1688_spider
from ali1688_spider.monitoring.counted_metrics import error_classes
from ali1688_spider.storage.product_store import Outcome as StoreOutcome
from ali1688_spider.watching.hints import KeptHints, Relation, Task
from ali1688_spider.watching.watched_product import Outcome as FetchOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(ali1688_spider.__file__).parent

STATISTIC = re.compile(r"ali1688/(?:[^\s{]|{[^}]*})+(?<!/)")
SCRAPYS = ("item_scraped_count", "spider_exceptions/ValueError", "log_count/ERROR")
"""Counted by Scrapy itself."""
NO_STATISTICS = {"ali1688/hints/{refused.name}"}
"""Of the receiver, which is no crawl and whose counts are in no Redis."""
NAMES = {
    "ali1688/cache/{'hit' if cached else 'miss'}": ("hit", "miss"),
    "ali1688/errors/{ForeignHostError.error_class}": error_classes(),
    "ali1688/errors/{error.error_class}": error_classes(),
    "ali1688/errors/{failure.error_class}": error_classes(),
    "ali1688/hints/{name}": KeptHints._fields,
    "ali1688/hints/{self.task}_failures": [f"{task}_failures" for task in get_args(Task)],
    "ali1688/hints/{step.relation}": get_args(Relation),
    "ali1688/items/{name}": ("stored", "unchanged"),  # read, not counted
    "ali1688/items/{stored.outcome}": get_args(StoreOutcome),
    "ali1688/leases/{stat}": ("withdrawn", "lost"),
    "ali1688/watch/{outcome.value}": [outcome.value for outcome in FetchOutcome],
    "ali1688/webhook/{name}": ("delivered", "failed"),
}
"""What ends the names that the code puts together."""


def text_of(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        return f"{{{ast.unparse(part.value)}}}"
    assert isinstance(part, ast.Constant)
    return str(part.value)


@cache
def statistics_of_the_code() -> frozenset[str]:
    """Return the statistics that are counted somewhere, also by Scrapy."""
    return frozenset([*named_statistics(), *SCRAPYS])


def named_statistics() -> Iterator[str]:
    """Yield each statistic that the package names, except in docstrings and comments."""
    for file in set(PACKAGE.rglob("*.py")) - set((PACKAGE / "monitoring").iterdir()):
        tree = ast.parse(file.read_text())
        joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
        parts = {part for node in joined for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                text = "".join(map(text_of, node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = "" if node in parts else node.value
            else:
                continue
            if not STATISTIC.fullmatch(text) or text in NO_STATISTICS:
                continue
            if "{" in text:
                yield from (f"{text.rpartition('/')[0]}/{name}" for name in NAMES[text])
            else:
                yield text
