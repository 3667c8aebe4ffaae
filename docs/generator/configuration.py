"""The pages of what a user sets and says: settings, commands and arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, get_args

from pydantic.fields import FieldInfo
from scrapy.cmdline import ScrapyArgumentParser
from scrapy.commands import ScrapyCommand, ScrapyHelpFormatter
from scrapy.settings import Settings, default_settings

import ali1688_spider.commands
from ali1688_spider import settings as project_settings
from ali1688_spider.config import DEFAULTS, Config, DeliverySettings
from ali1688_spider.items import CHANGE_FIELDS
from ali1688_spider.spiders.base import Arguments
from ali1688_spider.spiders.product import IdArguments, ProductSpider
from ali1688_spider.spiders.search import SearchSpider
from ali1688_spider.spiders.search_arguments import SearchArguments
from ali1688_spider.spiders.watch import WatchArguments, WatchSpider
from docs.generator.markdown import attributes, code, page, table

_SIMPLE = (bool, int, float, str)
_SAID = {"BOT_NAME", "NEWSPIDER_MODULE", "COMMANDS_MODULE", "LOG_LEVEL", "ASYNCIO_EVENT_LOOP"}
"""Settings that are the project's name, or that the environment decides."""


def _fields(model: Any) -> dict[str, tuple[str, FieldInfo]]:
    """Return the fields of a model by the name that a user says, with their own names."""
    return {field.alias or name: (name, field) for name, field in model.model_fields.items()}


def _values(field: FieldInfo) -> str:
    """Return what a field may be, for people."""
    if field.description:
        return field.description
    words = [code(word) for word in get_args(field.annotation) if isinstance(word, str)]
    return ", ".join(words)


def _default(default: object) -> str:
    if default == CHANGE_FIELDS:
        return "all"
    number = f"{default:g}" if isinstance(default, float) else default
    shown = int(default) if isinstance(default, bool) else number
    return "" if shown in ("", None) else code(shown)


def settings() -> str:
    """Return the page of settings."""
    said = attributes(Config, DeliverySettings)
    fields = {**_fields(Config), **_fields(DeliverySettings)}
    rows = []
    for setting in DEFAULTS:
        name, field = fields[setting]
        default = "required" if field.is_required() else _default(field.default) or "empty"
        rows.append((code(setting), default, _values(field), said[name]))
    return page(
        "Settings",
        """
        Each is a Scrapy setting. The first place that has a value wins:

        1. `-s NAME=value` on the command line
        2. the environment
        3. the file `.env` in the current folder, or in one above it
        4. the default

        An empty value means the default. Before a crawl starts, a missing or wrong value is
        reported in one sentence that names the setting and the way out, and the exit code is 1.
        So is a name that begins with `ALI1688_` and is no setting. `scrapy init` writes a `.env`
        with all settings.
        """,
        table(("setting", "default", "values", "meaning"), rows),
        """
        `LOG_LEVEL` is read from the environment and from `.env`, too. Crawls use the proxies that
        `http_proxy` and `https_proxy` name.

        ## Scrapy's settings that differ here

        Any other setting of Scrapy can be changed by `-s`. These have another default than
        Scrapy's; `ali1688_spider/settings.py` says why, and lists the components. `LOG_LEVEL` is
        `INFO` by default, and the event loop is uvloop's where it is installed.
        """,
        table(("setting", "default here"), _changed_settings()),
    )


def _changed_settings() -> Iterator[tuple[str, str]]:
    for name, value in sorted(vars(project_settings).items()):
        is_other = name.isupper() and name[0] != "_" and name not in {*DEFAULTS, *_SAID}
        if is_other and isinstance(value, _SIMPLE) and value != getattr(default_settings, name, ""):
            yield code(name), code(value)


def _command_modules() -> Iterator[tuple[str, ModuleType]]:
    for module in iter_modules(ali1688_spider.commands.__path__):
        yield module.name, import_module(f"ali1688_spider.commands.{module.name}")


@cache
def command_parsers() -> dict[str, ScrapyArgumentParser]:
    """Return the parser of each command of the project, by name."""
    parsers = {}
    for name, module in _command_modules():
        command: ScrapyCommand = module.Command()
        parser = ScrapyArgumentParser(
            prog=f"scrapy {name}",
            formatter_class=ScrapyHelpFormatter,
            usage=f"scrapy {name} {command.syntax()}",
            conflict_handler="resolve",
            description=command.long_desc(),
        )
        command.settings = Settings()
        command.settings.set("LOG_LEVEL", "INFO", "cmdline")  # whatever this machine's .env says
        command.add_options(parser)
        parsers[name] = parser
    return parsers


def _options(parser: argparse.ArgumentParser, *, of_scrapy: bool) -> Iterator[tuple[str, str]]:
    """Yield the options of a command, or those that Scrapy gives to every command."""
    for group in parser._action_groups:  # noqa: SLF001  # nothing public lists them
        if (group.title == "Global Options") != of_scrapy:
            continue
        for action in group._group_actions:  # noqa: SLF001  # likewise
            if not action.option_strings or isinstance(action, argparse._HelpAction):  # noqa: SLF001
                continue
            value = action.metavar or ("|".join(action.choices) if action.choices else action.dest)
            shown = "" if action.nargs == 0 else f" {value if action.choices else value.upper()}"
            text = " ".join(((action.help or "") % vars(action)).split())
            yield code(", ".join(action.option_strings) + shown), text


def commands() -> str:
    """Return the page of commands."""
    parts = []
    for name, parser in command_parsers().items():
        usage = re.sub(r"\s+", " ", str(parser.usage)).strip()
        text = str(parser.description).strip().removesuffix(".")
        parts += [f"## scrapy {name}", f"```text\n{usage}\n```", f"{text}."]
        if options := list(_options(parser, of_scrapy=False)):
            parts.append(table(("option", "meaning"), options))
    crawl = command_parsers()["crawl"]
    return page(
        "Commands",
        """
        In a checkout, `scrapy` is `.venv/bin/scrapy`. `scrapy COMMAND -h` prints what is here.
        [Errors, close reasons and exit codes](errors.md) has the exit codes,
        [Arguments of spiders](arguments.md) what `-a` may say.
        """,
        *parts,
        "## Options of every command",
        table(("option", "meaning"), _options(crawl, of_scrapy=True)),
    )


def _argument_rows(model: Any, without: type[Arguments] | None) -> Iterator[tuple[str, ...]]:
    said = attributes(Arguments, IdArguments, SearchArguments, WatchArguments)
    inherited = _fields(without) if without else {}
    for argument, (name, field) in _fields(model).items():
        if argument not in inherited:
            values = _values(field) if field.annotation is not bool else "`1` or `0`"
            yield code(argument), _default(field.default), values, said[name]


def arguments() -> str:
    """Return the page of spider arguments."""
    columns = ("argument", "default", "values", "meaning")
    parts = []
    for spider in (ProductSpider, SearchSpider, WatchSpider):
        rows = _argument_rows(spider.arguments_class, Arguments)
        parts += [f"## scrapy crawl {spider.name}", table(columns, rows)]
    return page(
        "Arguments of spiders",
        """
        `scrapy crawl SPIDER -a NAME=VALUE` passes an argument; so does Scrapyd's `schedule.json`.
        An unknown or wrong one is reported before the crawl starts.
        """,
        "## Every spider",
        table(columns, _argument_rows(Arguments, None)),
        *parts,
    )
