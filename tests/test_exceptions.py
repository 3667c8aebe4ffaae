"""The tree in the docstring of ``exceptions.py`` is the whole tree."""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module

from scrapy.exceptions import IgnoreRequest

import ali1688_spider
from ali1688_spider import exceptions
from ali1688_spider.exceptions import Ali1688Error

_BRANCH = re.compile(r"    ([│├└─ ]*)([\w.]+)")


def drawn() -> set[tuple[str, str]]:
    """Return each class in the docstring, with its base."""
    edges, above = set(), {}
    for line in (exceptions.__doc__ or "").splitlines():
        if match := _BRANCH.match(line):
            depth, name = len(match[1]) // 4, match[2].rpartition(".")[2]
            above[depth] = name
            if depth:
                edges.add((above[depth - 1], name))
    return edges


def children(base: type[Exception]) -> set[tuple[str, str]]:
    kinds = [kind for kind in base.__subclasses__() if kind.__module__.startswith("ali1688_spider")]
    edges = {(base.__name__, kind.__name__) for kind in kinds}
    return edges.union(*map(children, kinds))


def test_the_tree_is_drawn_whole() -> None:
    for module in pkgutil.walk_packages(ali1688_spider.__path__, "ali1688_spider."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    assert drawn() == children(Ali1688Error) | children(IgnoreRequest)
