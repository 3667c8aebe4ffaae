from __future__ import annotations

import asyncio
import logging
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.gateway.tokens import FileTokenStore, TokenGrant, TokenStoreError

if TYPE_CHECKING:
    from pathlib import Path

GRANT = TokenGrant("a", "r", "o", obtained_at=datetime(2026, 10, 10, tzinfo=UTC))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


async def test_it_keeps_one_grant(tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path / "tokens" / "1000000.json")
    assert await store.load() is None
    await store.save(TokenGrant("before"))
    await store.save(GRANT)
    assert await store.load() == GRANT
    assert await FileTokenStore(tmp_path / "tokens" / "1000000.json").load() == GRANT
    assert names_in(tmp_path / "tokens") == ["1000000.json"]


async def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens" / "1000000.json"
    store = FileTokenStore(path)
    async with store.exclusive():
        await store.save(GRANT)
    assert mode(path.parent) == 0o700
    names = names_in(path.parent)
    assert names == ["1000000.json", "1000000.json.lock"]
    assert [mode(path.parent / name) for name in names] == [0o600, 0o600]


async def test_a_file_that_was_open_to_others_is_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token.json"
    path.write_text(GRANT.to_json())
    path.chmod(0o644)
    assert await FileTokenStore(path).load() == GRANT
    assert mode(path) == 0o600
    assert caplog.messages == [f"The token file {path} was open to others: now mode 600"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]"])
async def test_a_damaged_file_counts_as_none(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token.json"
    path.write_bytes(content)
    path.chmod(0o600)
    assert await FileTokenStore(path).load() is None
    assert caplog.record_tuples == [
        (
            "ali1688_spider.gateway.tokens.file_store",
            logging.WARNING,
            f"The token file {path} is damaged and not used",
        )
    ]


async def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    path.mkdir()
    store = FileTokenStore(path)
    with pytest.raises(TokenStoreError, match="the token file: Is a directory"):
        await store.save(GRANT)
    with pytest.raises(TokenStoreError, match="the token file: Is a directory"):
        await store.load()
    assert names_in(tmp_path) == ["token.json"]


async def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FileTokenStore(tmp_path / "file" / "token.json")
    with pytest.raises(TokenStoreError, match="the token file:"):
        async with store.exclusive():
            pass


async def test_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "token.json"
    inside = 0
    most = 0

    async def enter() -> None:
        nonlocal inside, most
        async with FileTokenStore(path).exclusive():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(4)))
    assert most == 1


async def test_an_error_inside_is_passed_on_and_frees_the_lock(tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path / "token.json")
    with pytest.raises(OSError, match="of another matter"):
        async with store.exclusive():
            raise OSError("of another matter")
    async with store.exclusive():
        pass
