from __future__ import annotations

from decimal import Decimal
from typing import Any

import bson
import pytest

from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.pipelines.validation import check
from ali1688_spider.storage.database_errors import DocumentRefusedError
from ali1688_spider.storage.observation import MAX_DOCUMENT_BYTES, Observation
from tests.storage.observations import NOON


def observe(**fields: Any) -> Observation:
    record = {"product_id": 7, "source_api": "api", "fetched_at": NOON, **fields}
    return Observation.of(Product.model_validate(record))


def test_fields_that_the_response_has_are_kept_apart_from_the_others() -> None:
    observed = observe(name="裙", stock=None)
    assert bson.decode(observed.set_fields) == {
        "product_id": 7,
        "name": "裙",
        "stock": None,
        "source_api": "api",
    }
    assert (observed.product_id, observed.fetched_at) == (7, NOON)
    assert observed.unset_fields.keys() == Product.model_fields.keys() - {
        *("product_id", "name", "stock", "source_api"),
        *("fetched_at", "first_seen_at", "changed_at"),
        "promotion_price",  # its absence says that no response could tell it
    }


def test_a_promotion_that_is_told_to_be_none_is_stored_as_none() -> None:
    assert bson.decode(observe(promotion_price=None).set_fields)["promotion_price"] is None


def test_the_image_of_a_row_is_stored_with_a_new_product_only() -> None:
    fields = {"product_id": 7, "name": "裙", "images": ["https://cbu01.alicdn.com/1.jpg"]}
    row = check(ParsedProduct(fields, None, "api", NOON, complete=False))
    assert isinstance(row, Product)
    observed = Observation.of(row)
    assert observed.unset_fields["images"] == ["https://cbu01.alicdn.com/1.jpg"]
    assert "images" not in bson.decode(observed.set_fields)


def test_equal_responses_have_equal_digests() -> None:
    assert observe(stock=1).digest == observe(stock=1).digest != observe(stock=2).digest


@pytest.mark.parametrize("text", ["12.5", "12.50", "12.500"])
def test_equal_amounts_keep_their_own_digits(text: str) -> None:
    assert str(bson.decode(observe(price=Decimal(text)).set_fields)["price"]) == text


def test_a_document_stays_below_a_mebibyte() -> None:
    room = MAX_DOCUMENT_BYTES - len(observe(name="x").set_fields)
    assert len(observe(name="x" * room).set_fields) == MAX_DOCUMENT_BYTES - 1
    with pytest.raises(DocumentRefusedError) as refusal:
        observe(name="x" * (room + 1))
    assert str(refusal.value) == "document: 1048576 bytes long, must stay below 1048576"


def test_what_bson_cannot_hold_is_refused() -> None:
    product = Product.model_validate({"product_id": 7, "source_api": "a", "fetched_at": NOON})
    product.name = "half a pair: \ud800"
    with pytest.raises(DocumentRefusedError, match=r"^document: BSON cannot hold it: Unicode"):
        Observation.of(product)
