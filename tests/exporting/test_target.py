from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.target import target

if TYPE_CHECKING:
    from pathlib import Path


def test_file_appears_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("old")
    with target(str(path)) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text("old")

    def fail() -> None:
        with target(str(path)) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_new_file_has_usual_permissions_and_links_stay(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        path, link = tmp_path / "products.csv", tmp_path / "latest.csv"
        link.symlink_to(path)
        with target(str(link)) as file:
            file.write(b"new")
    finally:
        os.umask(mask)
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing/products.csv", "No such file or directory"),
        ("folder", "it exists and is no file"),
    ],
)
def test_unwritable_place_is_said(place: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / place)
    with pytest.raises(ConfigurationError) as caught, target(path):
        pass
    assert str(caught.value) == f"{path} cannot be written: {reason}"
