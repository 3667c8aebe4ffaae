"""Base of the commands; outside ``commands/``, where Scrapy takes every class for a command."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from bson.errors import BSONError
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError, ResponseError
from scrapy.commands import ScrapyCommand
from scrapy.exceptions import UsageError
from scrapy.settings import Settings
from scrapy.utils.project import ENVVAR

from ali1688_spider.config import check_names, strip_settings
from ali1688_spider.exceptions import Ali1688Error, ConfigurationError
from ali1688_spider.exporting.files import STANDARD_OUTPUT
from ali1688_spider.logs import configure_log, format_last_resort, is_json, tell
from ali1688_spider.private_files import environment
from ali1688_spider.spiders.ids import IdentifierSource
from ali1688_spider.storage.database_errors import explain

if TYPE_CHECKING:
    from aiohttp import web
    from rich.table import Table

logger = logging.getLogger(__name__)

FILE_HELP = (
    "file of product ids or URLs: a text, .csv, .xlsx, .jsonl or .parquet; - = standard input"
)

MOST_COLUMNS = 10_000
"""Of a line of a table that goes into a pipe or a file."""

USAGE_ERROR = 2
INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE
EXIT_CODES = {
    0: "The command did what it was asked to.",
    1: "It did not, or not all of it; a sentence on standard error says why. "
    "Of `scrapy status` and `scrapy doctor`: something is wrong.",
    USAGE_ERROR: "The command line cannot be understood: an unknown option or a missing argument.",
    INTERRUPTED: "Ctrl-C ended a command other than `crawl`.",
    PIPE_CLOSED: "What read the output closed the pipe, as `head` does.",
}
"""The exit codes of all commands."""

SETTINGS_MODULE = "ali1688_spider.settings"
SERVER_FOLDER = ".ali1688"


def load_project(settings: Settings) -> bool:
    """Load the project's settings when no project is active; return whether they are in effect.

    So commands work without ``scrapy.cfg``; in another project's folder its settings stay.
    """
    active = os.environ.setdefault(ENVVAR, SETTINGS_MODULE)
    if active == SETTINGS_MODULE and settings.get("BOT_NAME") != "ali1688_spider":
        settings.setmodule(SETTINGS_MODULE, priority="project")
    return active == SETTINGS_MODULE


def error_sentence(error: object) -> str:
    """Return the sentence that a person reads who has run a command."""
    end = "" if str(error).endswith(("?", ".")) else "."
    return f"Error: {error}{end}"


def output_file(args: list[str], command: str) -> str:
    """Return the only argument of a command: the file that it writes, or ``-``."""
    if len(args) != 1 or (args[0] != STANDARD_OUTPUT and args[0].startswith("-")):
        raise UsageError(f"say one FILE; scrapy {command} -h lists the options")
    return args[0]


def confirm(question: str, *, yes: bool) -> bool:
    """Return whether the user wants what *question* says; with *yes* nobody is asked.

    Raises:
        ConfigurationError: There is no terminal to ask on.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} There is no terminal to answer on: say --yes")
    try:
        return input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table as wide as the terminal; elsewhere each row is a line."""
    from rich.table import Table

    table = Table(title=title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    print_rich(table)


def print_rich(table: Table) -> None:
    """Print a table as it is, as :func:`print_table` does."""
    from rich.console import Console

    has_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(markup=False, highlight=False, width=None if has_width else MOST_COLUMNS)
    with console.capture() as text:  # it would deal with a closed pipe in a way of its own
        console.print(table)
    for line in text.get().splitlines():
        print(line.rstrip())


def rough_time(seconds: float) -> str:
    """Return ``45 s``, ``12 min``, ``3.5 h`` or ``20 d``."""
    for size, unit in ((86_400, "d"), (3600, "h")):
        if seconds >= 2 * size:
            return f"{seconds / size:.{0 if seconds >= 10 * size else 1}f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


async def serve(
    app: web.Application, host: str, port: int, announce: Callable[[str], None], grace: float
) -> None:
    """Serve *app* until SIGTERM or Ctrl-C; then requests have *grace* seconds to end.

    *announce* gets its address, such as ``http://127.0.0.1:8088/``, once it listens.

    Raises:
        ConfigurationError: The address cannot be listened on.
    """
    from aiohttp import web

    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=grace)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = error.strerror or error
            raise ConfigurationError(
                f"{host}:{port} cannot be listened on ({reason}): choose another --port or --host"
            ) from None
        at, bound = runner.addresses[0][:2]
        announce(f"http://{f'[{at}]' if ':' in at else at}:{bound}/")
        await ended.wait()
    finally:
        await runner.cleanup()


class ProductIds(IdentifierSource):
    """Product ids from arguments and a file; a summary of entries without one is printed."""

    def __init__(self, ids: Sequence[str], file: str) -> None:
        super().__init__(",".join(ids), file)
        self.check()
        if not self:
            raise ConfigurationError("say which products: ids, or --file FILE")

    def __iter__(self) -> Iterator[int]:
        try:
            yield from chain.from_iterable(self.batches())
        finally:
            if self.unreadable:
                print(self.summary, file=sys.stderr)

    def check_all_read(self, rest: str = "") -> None:
        """Raise :class:`ConfigurationError` when entries were unreadable."""
        if self.unreadable:
            entries = "entry, see above, is" if self.unreadable == 1 else "entries, see above, are"
            raise ConfigurationError(f"{self.unreadable:,} {entries} no product{rest}")


class ProjectCommand(ScrapyCommand):
    """A command of this project other than ``crawl``.

    Subclasses implement :meth:`execute`. An error of the project, of Redis or of MongoDB becomes
    one sentence on standard error and exit code 1. When the reader of the output closes the pipe,
    as ``head`` does, the command ends quietly with exit code 141, as other programs do.
    """

    requires_crawler_process = False
    settings: Settings  # set before anything is called
    usage: ClassVar[str]
    summary: ClassVar[str]
    description = ""
    checks_names: ClassVar[bool] = True  # whether a setting of ours that there is not is refused
    is_service: ClassVar[bool] = False  # whether it runs until it is stopped, and keeps a log

    def syntax(self) -> str:
        return self.usage

    def short_desc(self) -> str:
        return self.summary

    def long_desc(self) -> str:
        return self.description or self.summary

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        load_project(self.settings)
        super().add_options(parser)

    def run(self, args: list[str], opts: argparse.Namespace) -> None:
        strip_settings(self.settings)
        self._begin_log()
        try:
            if self.checks_names:
                check_names(self.settings)
            self.execute(args, opts)
        except Ali1688Error as error:
            self._fail(error)
        except ResponseError as error:
            advice = "check the rights of the user in REDIS_URL"
            self._fail(f"Redis rejects the command ({error}): {advice}")
        except RedisError as error:
            self._fail(f"Redis does not answer ({error}): check REDIS_URL and run this again")
        except (PyMongoError, BSONError) as error:
            self._fail(explain(error))
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            self.exitcode = INTERRUPTED
        except BrokenPipeError:
            self._discard_output(PIPE_CLOSED)
        try:
            sys.stdout.flush()  # while an error can still be reported
        except BrokenPipeError:
            self._discard_output(PIPE_CLOSED)
        except OSError as error:
            self._fail(f"standard output cannot be written: {error.strerror}")
            self._discard_output(self.exitcode)

    @abstractmethod
    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        """Do what the command is for."""

    def _begin_log(self) -> None:
        if self.is_service:
            configure_log(self.settings)
        elif is_json(self.settings):
            format_last_resort()
        environment()  # warns of what cannot be read in .env

    def _fail(self, error: object) -> None:
        """Say what went wrong, in the log too if there is one."""
        self.exitcode = 1
        if self.is_service:
            tell(logger, logging.ERROR, str(error), self.settings, text=error_sentence(error))
        else:
            print(error_sentence(error), file=sys.stderr)

    def _discard_output(self, exit_code: int) -> None:
        """Discard the rest of the output, which the interpreter would write when it ends."""
        self.exitcode = exit_code
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
