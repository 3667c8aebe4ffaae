from __future__ import annotations

import os
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.spiders import ids
from ali1688_spider.spiders.ids import CHUNK_BYTES, IdentifierSource

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
    source = IdentifierSource("7,8", str(file))
    batches = source.batches()
    assert next(batches) == [7, 8]
    assert source.bytes_read == 0
    assert next(batches)[:3] == [1, 2, 3]
    assert source.bytes_read == CHUNK_BYTES
    assert [*chain.from_iterable(batches)][-1] == 1_000_000
    assert source.bytes_read == source.size == file.stat().st_size


def test_each_id_once_and_lines_by_their_number_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("1\r\n2\r\nx\r\n# 9\r\n\r\n3\r\n1")
    source = IdentifierSource("2 y", str(file))
    reason = "is neither a product id nor a product's URL on 1688.com"
    assert list(chain.from_iterable(source.batches())) == [
        *(2, f"Argument: 'y' {reason}"),
        *(1, f"Line 3: 'x' {reason}", 3),
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


def test_lines_of_a_file_as_python_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_bytes(b"\xef\xbb\xbf1\r\n2\r3\n\xe8\x8c\xb6" + 2000 * b"\n12345678" + b"\r\n")
    lines = chain.from_iterable(IdentifierSource(ids_file=str(file))._lines())
    assert "\n".join(lines) == file.read_text("utf-8-sig")


def test_lines_of_a_pipe_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "POLL_SECONDS", 0.01)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    lines = IdentifierSource(ids_file=str(pipe))._lines()
    assert next(lines) == []
    writer = os.open(pipe, os.O_WRONLY)
    assert next(lines) == []
    os.write(writer, b"\xef\xbb\xbf1\n2\n\xe8\x8c")
    assert next(lines) == ["1", "2"]
    assert next(lines) == []
    os.write(writer, b"\xb6\xff\n3")
    assert next(lines) == ["茶\ufffd"]
    os.close(writer)
    assert [line for batch in lines for line in batch] == ["3"]


def test_a_line_of_many_megabytes_takes_no_longer_than_others(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_bytes(b"x" * 50_000_000)
    (text,) = chain.from_iterable(IdentifierSource(ids_file=str(file)).batches())
    assert str(text).startswith("Line 1: 'xxx")
