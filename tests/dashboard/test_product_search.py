"""Products found by id, address and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ali1688_spider.dashboard.product_search import LISTED, LONGEST_TEXT, SHOWN, find_products
from tests.dashboard.shop import (
    BOTTLE,
    DRESS,
    LONG,
    LONGEST,
    PRIVATE,
    TRICK,
    ago,
    product,
    shop,
)

if TYPE_CHECKING:
    from ali1688_spider.storage.database import Database
    from tests.dashboard.conftest import Reads

ALL = [BOTTLE, DRESS, TRICK, PRIVATE, LONGEST]
"""In the order in which they changed."""
UNKNOWN = 610_000_000_099


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", ALL),
        ("  \n", ALL),
        (str(DRESS), [DRESS]),
        (f"  {DRESS} ", [DRESS]),
        (f"https://detail.1688.com/offer/{DRESS}.html?spm=a.b&x=1", [DRESS]),
        (f"m.1688.com/offer/{DRESS}.html", [DRESS]),
        (f"商品ID：{DRESS}", [DRESS]),
        (f"{DRESS}, {UNKNOWN} {BOTTLE}", [BOTTLE, DRESS]),
        (str(UNKNOWN), []),
        (f"https://detail.1688.com/offer/{UNKNOWN}.html", []),
        ("dress", [DRESS]),
        ("DRESS 连衣", [DRESS]),
        ("保温杯", [BOTTLE]),
        ("杯", [BOTTLE, TRICK]),
        ("(新款) c++", [BOTTLE]),
        ("C++", [BOTTLE]),
        ("500", [BOTTLE]),
        ("500ml 304", [BOTTLE]),
        (".*", []),
        ("^", []),
        ("[", []),
        ("\\", []),
        ("$", []),
        ("d.ess", []),
        ("<SCRIPT>", [TRICK]),
        ("\u202e", [TRICK]),
        ("W" * 400, [LONGEST]),
        ("好运", [BOTTLE, DRESS, PRIVATE]),
        ("好运 日用品", [BOTTLE, DRESS, PRIVATE]),
        ("vacuum BOTTLE", [BOTTLE]),
        ("杯 dress", []),
        ("保温\x00杯", [BOTTLE]),
        ("\x00\x01", ALL),
        ("x" * 100_000, []),
        ("( " * 100_000, [BOTTLE, TRICK]),
    ],
)
async def test_search(database: Database, text: str, ids: list[int]) -> None:
    await database["products"].insert_many(shop()[0])
    found = await find_products(database, text)
    assert [each["_id"] for each in found.products] == ids
    assert (found.has_more, found.cut_at) == (False, None)
    assert found.missing == ([UNKNOWN] if str(UNKNOWN) in text else [])


async def test_an_id_is_looked_up_and_no_name_looked_through(
    database: Database, reads: Reads
) -> None:
    await find_products(database, str(UNKNOWN))
    assert [find["filter"] for find in reads.finds] == [{"_id": {"$in": [UNKNOWN]}}]


async def test_no_more_is_read_than_is_shown(database: Database, reads: Reads) -> None:
    many = [product(n, f"杯 {n}", changed_at=ago(seconds=n)) for n in range(1, 4 * SHOWN)]
    await database["products"].insert_many(many)
    for text in ("杯", ""):
        reads.returned.clear()
        found = await find_products(database, text)
        assert [each["_id"] for each in found.products] == list(range(1, SHOWN + 1))
        assert found.has_more
        assert reads.returned["products"] == SHOWN + 1


async def test_lists_have_all_fields_and_no_endless_texts(database: Database) -> None:
    bare = {"_id": 7, "name": LONG}
    await database["products"].insert_one(bare)
    found = await find_products(database, "7")
    assert set(found.products[0]) == {"_id", *LISTED}
    assert found.products[0]["name"] == f"{LONG[:LONGEST_TEXT]}…"
    assert (await find_products(database, "长名")).products == found.products
