"""The documents of a crawl have the fields that the reference lists."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import pymongo

from ali1688_spider.items import Product
from ali1688_spider.storage.changes import Change
from ali1688_spider.storage.failed_calls import FailedCall
from docs.generator.data import CRAWL, REJECTED_ITEM
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Gateway, Scrapy

PROJECTS_OWN = {"_id", "answer_digest", "pending_changes"}


def test_documents_have_the_fields_of_the_reference(
    scrapy: Scrapy,
    gateway: Gateway,
    ids: Callable[[int], Sequence[int]],
    mongo_uri: str,
    mongo_database: str,
) -> None:
    good, failing, wrong = ids(3)
    crawl = ("product", "-a", f"ids={good},{failing},{wrong}")
    settings = {"MONGO_URI": mongo_uri, "MONGO_DATABASE": mongo_database}
    scrapy.crawl(*crawl, **settings)
    gateway.product(good, price="1.23", stock=7)
    gateway.product(wrong, price="a bargain")
    gateway.fail(product_id=failing, faults=["isv"])
    scrapy.crawl_incompletely(*crawl, **settings)

    def seen(collection: str) -> set[str]:
        with pymongo.MongoClient[dict[str, object]](mongo_uri) as client:
            found = list(client[mongo_database][collection].find())
        assert found
        return {name for document in found for name in document}

    changes = {field.name for field in fields(Change)}
    assert set(Product.model_fields) >= seen("products") - PROJECTS_OWN
    assert changes - {"id"} >= seen("product_changes") - {"_id"}
    assert seen("rejected_items") == {"_id", *REJECTED_ITEM}
    assert seen("failed_calls") == {"_id", *FailedCall.model_fields}
    assert seen("crawls") == {"_id", *CRAWL}
    page = (ROOT / "docs" / "reference" / "record.md").read_text()
    assert all(f"`{name}`" in page for name in seen("products") - {"_id"})
