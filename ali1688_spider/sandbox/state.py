"""All that one sandbox consists of."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.admission import Admission
from ali1688_spider.sandbox.answers import Answers
from ali1688_spider.sandbox.apis import API_NAMES, bare_name
from ali1688_spider.sandbox.catalogue import Catalogue
from ali1688_spider.sandbox.clock import Clock
from ali1688_spider.sandbox.counters import Counters
from ali1688_spider.sandbox.faults import Faults, parse_faults
from ali1688_spider.sandbox.oauth import Tokens
from ali1688_spider.sandbox.search import Search

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ali1688_spider.sandbox.options import Options

_TOKENS = frozenset({"access_token", "refresh_token", "token_lifetime"})


class State:
    """The parts of a sandbox and the options that they share.

    Raises:
        ValueError: An option names a fault or an API that does not exist.
    """

    def __init__(self, options: Options) -> None:
        _check_names(options)
        self._initial = options
        self.options = dataclasses.replace(options)
        self.clock = Clock(self.options)
        self.counters = Counters()
        self.catalogue = Catalogue(self.options, self.clock)
        self.answers = Answers(self.catalogue, Search(self.catalogue))
        self.admission = Admission(self.options, self.clock, self.counters)
        self.tokens = Tokens(self.options, self.clock, self.counters)
        self.faults = Faults(self.options)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change options while running.

        Raises:
            ValueError: A name or a value is wrong; then nothing is changed.
        """
        changed = self.options.checked(changes)
        _check_names(changed)
        self.options.take_over(changed)
        self.catalogue.revision += 1
        if any(name.startswith("fault") for name in changes):
            self.faults.load()
        if not _TOKENS.isdisjoint(changes):
            self.tokens.reset()

    def reset(self) -> None:
        """Go back to how the sandbox started."""
        self.options.take_over(self._initial)
        self.catalogue.restore()
        self.counters.reset()
        self.admission.reset()
        self.tokens.reset()
        self.faults.reset()


def _check_names(options: Options) -> None:
    parse_faults(options.faults)
    for name in options.deny:
        if name not in API_NAMES and name not in map(bare_name, API_NAMES):
            raise ValueError(f"--deny {name}: there is no such API")
