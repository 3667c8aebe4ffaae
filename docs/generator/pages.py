"""Which page is made by which function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from docs.generator import configuration, data, operation

FOLDER = Path(__file__).parents[1] / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "settings": configuration.settings,
    "commands": configuration.commands,
    "arguments": configuration.arguments,
    "apis": data.apis,
    "record": data.record,
    "events": data.events,
    "redis-keys": data.redis_keys,
    "errors": operation.errors,
    "statistics": operation.statistics,
    "metrics": operation.metrics,
    "sandbox": operation.sandbox,
}
