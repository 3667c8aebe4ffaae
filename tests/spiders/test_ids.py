from __future__ import annotations

import os
import tempfile
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.spiders import ids
from ali1688_spider.spiders.ids import CHUNK_BYTES, IdentifierSource, TextDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def lines_of(file: Path) -> Iterator[list[str]]:
    source = IdentifierSource(ids_file=str(file))
    return source._lines(source._chunks())


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
    for _ in range(2):  # read again, it is counted again
        assert list(chain.from_iterable(source.batches())) == [2, 1, 3]
        assert source.unreadable == 2
        assert source.summary.splitlines() == [
            "2 entries have no product id:",
            f"Argument: 'y' {reason}",
            f"Line 3: 'x' {reason}",
        ]


def test_a_summary_names_the_first_ten(tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("1\n" + "".join(f"x{number}\n" for number in range(1234)))
    source = IdentifierSource(ids_file=str(file))
    assert list(chain.from_iterable(source.batches())) == [1]
    first, *examples, last = source.summary.splitlines()
    assert (first, last) == ("1,234 entries have no product id:", "… and 1,224 more")
    assert [example.partition(":")[0] for example in examples] == [
        f"Line {number}" for number in range(2, 12)
    ]
    assert IdentifierSource("1").summary == ""


TEXT = "名称,商品ID\n杯子,610000000001\n碗,610000000002\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk", "gb18030"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
def test_text_in_any_encoding_and_in_pieces_of_any_size(encoding: str, size: int) -> None:
    data = TEXT.encode(encoding)
    decoder = TextDecoder()
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    text = "".join(decoder.decode(piece) for piece in pieces) + decoder.decode(b"", final=True)
    assert text == TEXT


@pytest.mark.parametrize(
    ("data", "digits"),
    [
        (b"\xfe\xff\x00\x31\x00\x0a", "1"),
        (b"\xff\xfe\x31\x00\x0a", "1"),
        ("茶".encode() + b"1\xff2", "12"),
        ("茶".encode("gbk") + b"1\xff\n2", "12"),
        (b"1\xe8\x8c", "1"),
        (b"\xe8\x8c1", "1"),
        (b"\xef\xbb", ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_damaged_text_costs_no_digit(data: bytes, digits: str) -> None:
    decoder = TextDecoder()
    text = decoder.decode(data) + decoder.decode(b"", final=True)
    assert "".join(filter(str.isdigit, text)) == digits


@settings(deadline=None)
@given(st.binary() | st.binary().map(b"PK\x03\x04".__add__) | st.binary().map(b"PAR1".__add__))
def test_any_file_is_read_or_refused_in_one_sentence(data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        source = IdentifierSource(ids_file=file.name)
        try:
            source.check()
        except ConfigurationError as error:
            assert "save it as" in str(error)  # noqa: PT017
        assert all(each > 0 for each in chain.from_iterable(source.batches()))
        assert source.bytes_read == len(data)


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
    lines = chain.from_iterable(lines_of(file))
    assert "\n".join(lines) == file.read_text("utf-8-sig")


def test_lines_of_a_pipe_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "POLL_SECONDS", 0.01)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    lines = lines_of(pipe)
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
    source = IdentifierSource(ids_file=str(file))
    assert not any(source.batches())
    assert "Line 1: 'xxx" in source.summary
