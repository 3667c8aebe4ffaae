from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scrapy.cmdline import execute
from scrapy.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """Runs a command of the project in a folder of its own and returns its exit code."""
    monkeypatch.setenv("SCRAPY_SETTINGS_MODULE", "ali1688_spider.settings")
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str, **settings: str) -> int:
        commands = Settings({"COMMANDS_MODULE": f"ali1688_spider.commands.{name}"})
        options = [part for key, value in settings.items() for part in ("-s", f"{key}={value}")]
        with pytest.raises(SystemExit) as stopped:
            execute(["scrapy", name, *options, *arguments], commands)
        assert isinstance(stopped.value.code, int)
        return stopped.value.code

    return run
