from __future__ import annotations

from decimal import Decimal

from ali1688_spider.exporting.rows import SKUS, sku_rows

COLUMNS = (
    *("product_id", "name", "sku_id", "spec_id", "attributes", "price", "retail_price"),
    *("promotion_price", "dropship_price", "stock", "image", "cargo_number", "url"),
)

URL = "https://detail.1688.com/offer/1.html"
PRODUCT = {
    "product_id": 1,
    "name": "杯",
    "price": Decimal("9.95"),
    "stock": 5,
    "images": ["https://cbu01.alicdn.com/1.jpg", "https://cbu01.alicdn.com/2.jpg"],
    "attributes": {"材质": ["棉", "麻"]},
    "cargo_number": "K-1",
    "url": URL,
}


def test_a_sku_has_its_own_values() -> None:
    sku = {"sku_id": 7, "attributes": {"颜色": "红", "尺码": "大"}, "stock": 0, "price": None}
    (row,) = sku_rows({**PRODUCT, "skus": [sku]})
    assert tuple(row) == COLUMNS == SKUS.columns
    assert {name: value for name, value in row.items() if value is not None} == {
        "product_id": 1,
        "name": "杯",
        "sku_id": 7,
        "attributes": "颜色: 红; 尺码: 大",
        "stock": 0,
        "url": URL,
    }


def test_a_product_without_skus_has_one_row() -> None:
    (row,) = sku_rows({**PRODUCT, "skus": []})
    assert tuple(row) == COLUMNS == SKUS.columns
    assert {name: value for name, value in row.items() if value is not None} == {
        "product_id": 1,
        "name": "杯",
        "price": Decimal("9.95"),
        "stock": 5,
        "image": "https://cbu01.alicdn.com/1.jpg",
        "cargo_number": "K-1",
        "url": URL,
    }
    assert dict(next(sku_rows({"product_id": 2}))) == {
        **dict.fromkeys(SKUS.columns),
        "product_id": 2,
    }
