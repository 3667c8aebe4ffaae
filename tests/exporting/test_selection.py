from __future__ import annotations

import re
import uuid
from argparse import Namespace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bson import Decimal128
from pymongo.errors import PyMongoError
from scrapy.settings import Settings

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting import selection
from ali1688_spider.exporting.selection import (
    changes,
    open_database,
    parse_time,
    product_query,
    products,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = NOON + timedelta(minutes=30)


def document(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "_id": number,
        "product_id": number,
        "name": f"裙 {number}",
        "price": Decimal128(f"{number}.50"),
        "stock": number - 1,
        "category_id": 100 + number % 2,
        "category_name": ["连衣裙", "衬衫"][number % 2],
        "supplier": "厂" if number > 3 else None,
        "status": "published",
        "fetched_at": NOON - number * HOUR,
        "changed_at": NOON - number * 2 * HOUR,
        "price_private": False,
        "internal": "not for export",
        # The others were stored without.
        **({"url": "https://m.1688.com/offer/2.html"} if number == 2 else {}),
        **fields,
    }


@pytest.fixture(scope="module")
def database(mongo_server_uri: str) -> Iterator[Database[dict[str, Any]]]:
    name = f"test_selection_{uuid.uuid4().hex[:12]}"
    settings = Settings({"MONGO_URI": mongo_server_uri, "MONGO_DATABASE": name})
    with open_database(settings) as database:
        database["products"].insert_many(
            [
                *(document(number) for number in (5, 3, 1, 4, 2)),
                document(6, price=None, price_private=True),
                document(7, status="removed"),
            ]
        )
        database["product_changes"].insert_many(
            {
                "_id": f"{number}-{age}",
                "product_id": number,
                "sku_id": None,
                "field": "price",
                "old": Decimal128("10.00"),
                "new": Decimal128("9.00"),
                "at": NOON - age * HOUR,
                "ratio": 0.9,
            }
            for number in (1, 2, 6, 99)
            for age in (3, 1, 2)
        )
        yield database
        database.client.drop_database(database.name)


def query(**options: Any) -> dict[str, Any]:
    """Return the query of an export with these options."""
    texts = ("category", "supplier", "updated_since", "changed_since", "min_price", "max_price")
    none: dict[str, Any] = {**dict.fromkeys(texts), "status": [], "in_stock": False}
    return product_query(Namespace(**(none | {"private": False} | options)))


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, [1, 2, 3, 4, 5, 7]),
        ({"private": True}, [1, 2, 3, 4, 5, 6, 7]),
        ({"status": ["removed"]}, [7]),
        ({"status": ["removed", "published"]}, [1, 2, 3, 4, 5, 7]),
        ({"category": "101"}, [1, 3, 5, 7]),
        ({"category": "连衣裙"}, [2, 4]),
        ({"category": "9" * 30}, []),
        ({"supplier": "厂"}, [4, 5, 7]),
        ({"updated_since": "2026-11-23T10:00"}, [1, 2]),
        ({"changed_since": "2026-11-23T18:00+08:00"}, [1]),
        ({"min_price": "3.5"}, [3, 4, 5, 7]),
        ({"max_price": "3.49"}, [1, 2]),
        ({"min_price": "2.50", "max_price": "3.50"}, [2, 3]),
        ({"in_stock": True}, [2, 3, 4, 5, 7]),
        ({"in_stock": True, "category": "101", "supplier": "厂"}, [5, 7]),
    ],
)
def test_products_pass_every_filter(
    database: Database[dict[str, Any]], filters: dict[str, Any], ids: list[int]
) -> None:
    rows = products(database, query(**filters))
    assert [row["product_id"] for row in rows] == ids


def test_only_the_record_is_read(database: Database[dict[str, Any]]) -> None:
    assert "internal" not in next(products(database, query()))


def test_values_are_plain(database: Database[dict[str, Any]]) -> None:
    row = next(products(database, query()))
    assert repr(row["price"]) == "Decimal('1.50')"
    assert row["fetched_at"] == NOON - HOUR


def test_every_row_has_an_address(database: Database[dict[str, Any]]) -> None:
    addresses = ["https://detail.1688.com/offer/1.html", "https://m.1688.com/offer/2.html"]
    assert [row["url"] for row in products(database, query())][:2] == addresses
    changed = changes(database, query(), NOON - 2 * HOUR)
    assert {row["url"] for row in changed} == set(addresses)


def test_changes_say_of_what_and_how_much(database: Database[dict[str, Any]]) -> None:
    row = next(changes(database, query(), NOON - 9 * HOUR))
    assert (row["name"], row["percent"]) == ("裙 1", -10.0)


def test_products_of_given_ids(
    database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "IDS_AT_ONCE", 2)
    rows = products(database, query(), iter([5, 2, 99, 6, 1]))
    assert [row["product_id"] for row in rows] == [2, 5, 1]


def test_changes_of_the_products_that_pass(
    database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "BATCH", 2)
    monkeypatch.setattr(selection, "REMEMBERED", 2)

    def found(since: datetime, ids: list[int] | None = None, **filters: Any) -> list[str]:
        rows = changes(database, query(**filters), since, ids)
        return sorted(row["_id"] for row in rows)

    assert found(NOON - 2 * HOUR) == ["1-1", "1-2", "2-1", "2-2"]
    assert found(NOON - 2 * HOUR, private=True) == ["1-1", "1-2", "2-1", "2-2", "6-1", "6-2"]
    assert found(NOON - 9 * HOUR, category="101") == ["1-1", "1-2", "1-3"]
    assert found(NOON - 9 * HOUR, ids=[2, 6]) == ["2-1", "2-2", "2-3"]
    assert found(NOON) == []


def test_changes_come_oldest_first(database: Database[dict[str, Any]]) -> None:
    times = [row["at"] for row in changes(database, query(), NOON - 9 * HOUR)]
    assert times == sorted(times)
    assert len(times) == 6


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("", ConfigurationError, "MONGO_URI is empty, so no products are stored: set it to the"),
        ("mongodb://user:p@ss@localhost/", ConfigurationError, "MONGO_URI cannot be read: write"),
        ("http://localhost/", ConfigurationError, "MONGO_URI is not a valid URL: begin it with"),
        ("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100", PyMongoError, "127.0.0.1:9: "),
    ],
)
def test_database_that_cannot_be_reached(
    address: str, error: type[Exception], message: str
) -> None:
    with (
        pytest.raises(error, match=f"^{re.escape(message)}"),
        open_database(Settings({"MONGO_URI": address})),
    ):
        pytest.fail("a database that is not there was opened")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00+08:00", datetime(2026, 11, 1, 2, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 16, 12, 30, tzinfo=UTC)),
        ("24h", datetime(2026, 11, 22, 12, 30, tzinfo=UTC)),
        ("0h", LATER),
        ("30m", NOON),
    ],
)
def test_parse_time(text: str, expected: datetime) -> None:
    assert parse_time(text, now=LATER) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-7d", "2026-13-01", "999999d"])
def test_no_parse_time(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_time(text, now=LATER)
    assert str(caught.value) == (
        f"{text!r} is not a time: write a date such as 2026-11-23, a time such as "
        "2026-11-23T10:00:00Z, or an age such as 7d, 6h or 30m"
    )
