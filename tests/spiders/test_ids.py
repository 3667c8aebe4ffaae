from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.spiders.ids import IdentifierSource, place, read_lines

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_a_false_source() -> None:
    assert not IdentifierSource()
    assert not IdentifierSource(" , ")
    assert IdentifierSource("1")
    assert IdentifierSource(ids_file="-")


def test_a_file_is_read_as_it_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("".join(f"{product_id}\n" for product_id in range(1, 1_000_001)))
    lines: list[str] = []
    source = IdentifierSource("7,8", str(file))
    entries = source.entries(lines.append)
    assert [next(entries) for _ in range(4)] == [(0, 7), (0, 8), (1, 1), (2, 2)]
    assert lines == ["1\n", "2\n"]
    assert isinstance(entries, Generator)
    entries.close()
    assert source.size == file.stat().st_size


def test_each_id_once_and_lines_by_their_number_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("1\r\n2\r\nx\r\n# 9\r\n\r\n3\r\n1")
    source = IdentifierSource("2 y", str(file))
    read = [
        (place(number), entry if isinstance(entry, int) else str(entry).split()[0])
        for number, entry in source.entries()
    ]
    assert read == [
        ("Argument", 2),
        ("Argument", "'y'"),
        ("Line 1", 1),
        ("Line 3", "'x'"),
        ("Line 6", 3),
    ]


def test_the_digest_names_the_ids(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("1\n2\n")
    copy = tmp_path / "copy"
    copy.write_text("1\n2\n")
    digest = IdentifierSource(ids_file=str(file)).digest
    assert digest is not None
    assert IdentifierSource(ids_file=str(copy)).digest == digest
    copy.write_text("1\n2\n3\n")
    assert IdentifierSource(ids_file=str(copy)).digest != digest
    assert IdentifierSource("1", str(file)).digest != digest
    assert IdentifierSource("1,2").digest == IdentifierSource("1 2").digest


def test_a_pipe_is_neither_opened_nor_read_beforehand(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source = IdentifierSource(ids_file=str(pipe))
    source.check()
    assert source.is_stream
    assert source.digest is None
    assert source.size is None
    assert IdentifierSource(ids_file="-").digest is None


@pytest.mark.parametrize(("name", "reason"), [("none", "No such file"), (".", "Is a directory")])
def test_what_cannot_be_read(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"cannot be read \({reason}"):
        IdentifierSource(ids_file=str(tmp_path / name)).check()


async def test_lines_of_a_file_as_python_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_bytes(b"\xef\xbb\xbf1\r\n2\r3\n\xe8\x8c\xb6" + 2000 * b"\n12345678" + b"\r\n")
    lines = [line async for batch in read_lines(str(file)) for line in batch]
    assert "\n".join(lines) == file.read_text("utf-8-sig")


async def test_lines_of_a_pipe_as_they_come(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    stream = read_lines(str(pipe))
    # Opened for both, so that this does not wait for the reader.
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, b"\xef\xbb\xbf1\n2\n\xe8\x8c")
    assert await anext(stream) == ["1", "2"]
    os.write(writer, b"\xb6\xff\n3")
    assert await anext(stream) == ["茶\ufffd"]
    os.close(writer)
    assert await anext(stream) == ["3"]
    assert [lines async for lines in stream] == []
