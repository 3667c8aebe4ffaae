from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from bson import Decimal128

from ali1688_spider.pipelines.rejections import Rejection
from ali1688_spider.storage.patience import Patience
from ali1688_spider.storage.rejections import MongoRejectionStore

if TYPE_CHECKING:
    from ali1688_spider.storage.connection import Database

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def test_a_rejection_is_kept_once(database: Database) -> None:
    store = MongoRejectionStore(database, Patience())
    for product_id in (7, 7, None):
        await store.keep(
            Rejection(product_id, ["price: below 0 (-1 came)"], {"price": Decimal("-1.50")}, NOON)
        )
    found = await database["rejected_items"].find({}, {"_id": 0}).to_list()
    document = {
        "errors": ["price: below 0 (-1 came)"],
        "payload": {"price": Decimal128("-1.50")},
        "at": NOON,
    }
    assert found == [{"product_id": 7, **document}, {"product_id": None, **document}]
