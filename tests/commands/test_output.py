"""Commands whose output finds no room, or no reader; none may end with a traceback."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pymongo
import pytest

from tests.commands.test_export import document
from tests.forked_process import ROOT, fork_server

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ["csv", "jsonl", "xlsx", "parquet"]
CLOSED_PIPE = 141


@pytest.fixture(scope="module")
def environment(mongo_server_uri: str) -> Iterator[dict[str, str]]:
    name = "test_output"
    with pymongo.MongoClient[dict[str, Any]](mongo_server_uri) as client:
        client.drop_database(name)
        client[name]["products"].insert_many([document(number) for number in range(1, 1000)])
        yield {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SCRAPY_SETTINGS_MODULE": "ali1688_spider.settings",
            "ALI1688_APP_KEY": "1000000",
            "ALI1688_APP_SECRET": "test123",
            "MONGO_URI": mongo_server_uri,
            "MONGO_DATABASE": name,
        }
        client.drop_database(name)


def run_into(
    output: IO[bytes],
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    module: str = "scrapy",
) -> tuple[int, str]:
    """Return the exit code and what is said on standard error."""
    file = folder.with_name("error")
    with file.open("wb") as error, Path(os.devnull).open("rb") as nothing:
        files = (output.fileno(), error.fileno())
        process = fork_server().start(
            arguments, environment, folder, *files, stdin=nothing.fileno(), module=module
        )
    return process.wait(), file.read_text()


@pytest.mark.parametrize(
    "arguments", [*(["export", f"products.{each}"] for each in FORMATS), ["report", "report.html"]]
)
def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(
    arguments: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / arguments[1]
    path.write_text("old")
    with Path(os.devnull).open("wb") as nothing:
        ended = run_into(nothing, arguments, folder, environment, module="tests.full_disk")
    assert ended == (1, f"Error: {arguments[1]} cannot be written: File too large.\n")
    assert path.read_text() == "old"
    assert list(folder.iterdir()) == [path]


STANDARD_OUTPUT = [
    *(["export", "-", "--format", each] for each in FORMATS),
    ["report", "-"],
    ["failed", "list"],
]


@pytest.mark.parametrize("arguments", STANDARD_OUTPUT)
def test_a_full_disk_behind_standard_output_is_one_sentence(
    arguments: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    with Path("/dev/full").open("wb") as full:
        exit_code, error = run_into(full, arguments, tmp_path, environment)
    reason = "standard output cannot be written: No space left on device"
    assert (exit_code, error) == (1, f"Error: {reason}.\n")


@pytest.mark.parametrize("arguments", STANDARD_OUTPUT)
def test_a_closed_pipe_ends_it_quietly(
    arguments: list[str], tmp_path: Path, environment: dict[str, str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        assert run_into(pipe, arguments, tmp_path, environment) == (CLOSED_PIPE, "")
