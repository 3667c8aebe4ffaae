"""Base of the commands; outside ``commands/``, where Scrapy takes every class for a command."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from scrapy.commands import ScrapyCommand
from scrapy.utils.project import ENVVAR

from ali1688_spider.config import strip_settings
from ali1688_spider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import argparse

SETTINGS_MODULE = "ali1688_spider.settings"


def load_project(command: ScrapyCommand) -> bool:
    """Give *command* the project's settings when no project is active; return whether it has them.

    An installed package has no ``scrapy.cfg``: its commands work in any folder all the same. In the
    folder of another Scrapy project that one's settings stay.
    """
    assert command.settings is not None
    active = os.environ.setdefault(ENVVAR, SETTINGS_MODULE)
    if active == SETTINGS_MODULE and command.settings.get("BOT_NAME") != "ali1688_spider":
        command.settings.setmodule(SETTINGS_MODULE, priority="project")
    return active == SETTINGS_MODULE


class ProjectCommand(ScrapyCommand):
    """A command of this project that is no crawl.

    Subclasses implement :meth:`execute`; a :class:`ConfigurationError` that it raises becomes one
    sentence on standard error and exit code 1. When the reader of its output, such as ``head``,
    closes the pipe, it ends quietly, with exit code 141 as other programs do.
    """

    requires_crawler_process = False

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        load_project(self)
        super().add_options(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        strip_settings(self.settings)
        try:
            self.execute(args, opts)
        except ConfigurationError as error:
            print(f"Error: {error}.", file=sys.stderr)
            self.exitcode = 1
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            self.exitcode = 128 + signal.SIGINT
        except BrokenPipeError:
            self._end_quietly()
        self._flush()

    def _flush(self) -> None:
        """Write what is still buffered here, where a failure can be reported."""
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            self._end_quietly()
        except OSError as error:
            print(f"Error: standard output cannot be written: {error.strerror}.", file=sys.stderr)
            self.exitcode = 1
            _discard_output()

    def _end_quietly(self) -> None:
        """End as other programs do when the reader of their output has closed the pipe."""
        self.exitcode = 128 + signal.SIGPIPE
        _discard_output()

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Do what the command is for."""
        raise NotImplementedError


def _discard_output() -> None:
    """Discard what is still to be written: the interpreter flushes once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
