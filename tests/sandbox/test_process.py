from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import urllib.request
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from scrapy.commands import ScrapyHelpFormatter

from ali1688_spider.local_servers import start_sandbox
from ali1688_spider.sandbox.options import Options
from ali1688_spider.sandbox.server import Sandbox
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

MODULE = [sys.executable, "-m", "ali1688_spider.sandbox"]
COMMAND = [sys.executable, "-m", "scrapy", "sandbox"]


@pytest.mark.parametrize("columns", range(60, 130, 2))
def test_no_option_becomes_a_heading_of_the_help(columns: int) -> None:
    formatter = partial(ScrapyHelpFormatter, width=columns)
    parser = argparse.ArgumentParser("scrapy sandbox", formatter_class=formatter)
    Options.add_arguments(parser)
    lines = parser.format_help().splitlines()
    assert [above for above, line in pairwise(lines) if line and not line.strip("=")] == [
        "Usage",
        "Options",
    ]


@pytest.mark.parametrize("command", [MODULE, COMMAND], ids=["module", "command"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_it_says_where_it_is_and_stops_cleanly(command: list[str], number: int) -> None:
    arguments = ["--qps", "5", "--faults", "500", "--deny", "alibaba.product.search"]
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("Sandbox ready on http://127.0.0.1:")
    with urllib.request.urlopen(line.split()[-1] + "/_sandbox/settings") as response:
        settings = json.load(response)
    assert (settings["qps"], settings["deny"]) == (5, ["alibaba.product.search"])
    process.send_signal(number)
    output, errors = process.communicate()
    assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize("command", [MODULE, COMMAND], ids=["module", "command"])
def test_a_wrong_option_is_said_in_a_sentence(command: list[str]) -> None:
    ended = subprocess.run(
        [*command, "--fault-rate", "3"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    sentence = "--fault-rate is 3.0: it should be less than or equal to 1"
    assert sentence in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_is_started_by_the_servers_module(tmp_path: Path) -> None:
    sandbox = start_sandbox(tmp_path, ["--products", "3"], port=free_port())
    with urllib.request.urlopen(sandbox.url + "/_sandbox/products/610000000004") as response:
        assert json.load(response)["exists"] is False
    sandbox.stop()
    assert sandbox.process.returncode == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"protocol": ["rest"]}, "--protocol is 'rest': it should be 'router', 'param2' or 'top'"),
        ({"port": 70_000}, "--port is 70000: it should be less than or equal to 65535"),
        ({"qps": -1}, "--qps is -1: it should be greater than or equal to 0"),
        ({"latency": float("nan")}, "--latency is nan: it should be a finite number"),
        ({"error_status": 100}, "--error-status is 100: give one from 200 to 599"),
        ({"deny": ["nothing"]}, "--deny nothing: there is no such API"),
        ({"faults": "nothing"}, "there is no fault 'nothing'"),
    ],
)
def test_wrong_options(options: dict[str, object], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Options.read(options)


async def test_a_port_that_is_taken() -> None:
    first = Sandbox(Options())
    await first.start()
    port = int(first.url.rpartition(":")[2])
    second = Sandbox(Options(port=port))
    with pytest.raises(OSError, match="in use"):
        await second.start()
    await second.stop()
    await first.stop()
