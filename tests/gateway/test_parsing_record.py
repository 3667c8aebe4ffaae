"""What buyers decide by: weights, sales, dates, sellers; absent is absent, never 0 or a guess."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ali1688_spider.gateway import fields as reading
from ali1688_spider.gateway.parsing_product import read_categories
from ali1688_spider.gateway.response import load_json
from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.pipelines.validation import check
from tests.gateway.catalogued import (
    CROSS_BORDER,
    CURATED,
    DETAIL,
    DROPSHIP,
    KEYWORD,
    OWN,
    product_api,
    read_page,
    read_product,
    sample,
)

NOW = datetime(2026, 10, 10, tzinfo=UTC)


def record(fields: dict[str, Any], *, complete: bool = True) -> Product:
    product = check(ParsedProduct(fields, None, "api", NOW, complete))
    assert isinstance(product, Product), product
    return product


def shipped(**shipping: Any) -> dict[str, Any]:
    product = {"offerId": 1, "subject": "杯", "productShippingInfo": shipping}
    return read_product(DETAIL, load_json(json.dumps({"result": {"result": product}}).encode()))


def test_all_that_a_detail_tells() -> None:
    product = record(read_product(DETAIL, sample("detail_retail"))).model_dump()
    assert product["skus"][0].pop("attributes") == {"颜色": "红色"}
    assert product["skus"][0]["cargo_number"] == "ZD-500-R"
    assert product["skus"][1]["cargo_number"] is None
    told = {
        "product_id": 610000000060,
        "name": "硅胶折叠杯",
        "name_translated": "Foldable silicone cup",
        "status": "published",
        "available": True,
        "stock": 1000,
        "unit": "个",
        "min_order_quantity": 1,
        "batch_number": 10,
        "sales_total": 18734,
        "trade_score": 4.7,
        "weight_g": 215,
        "weight_source": "measured",
        "weight_suspect": False,
        "length_cm": 10.5,
        "width_cm": 10.5,
        "height_cm": 13.0,
        "ship_from": "浙江省 金华市",
        "supplier": "永康市杯具有限公司",
        "seller_id": "BBBaaa111",
        "seller_scores": {
            "tradeMedalLevel": 5.0,
            "compositeServiceScore": 4.5,
            "repeatPurchasePercent": 0.135,
            "tpYear": 6.0,
        },
        "videos": [
            "https://cloud.video.taobao.com/play/1.mp4",
            "https://cloud.video.taobao.com/play/2.mp4",
        ],
        "attributes": {"材质": ["硅胶", "塑料"], "产地": ["浙江"]},
        "attributes_translated": {"Material": ["Silicone", "Plastic"]},
        "category_id": 1031910,
        "category_path": [15, 1501, 1031910],
        "cargo_number": "ZD-500",
        "listed_at": datetime(2024, 4, 20, tzinfo=UTC),
        "description": None,
    }
    assert {name: product[name] for name in told} == told


def test_what_a_detail_does_not_tell_is_unknown() -> None:
    product = record(read_product(DETAIL, sample("detail_bare")))
    assert (product.available, product.stock, product.price) == (False, 12, Decimal("4.05"))
    names = ("sales_total", "sales_30d", "repurchase_rate", "trade_score", "weight_g")
    names += ("weight_source", "weight_suspect", "length_cm", "ship_from", "seller_id", "supplier")
    names += ("name_translated", "cargo_number", "batch_number", "listed_at", "modified_at")
    names += ("promotion_price", "retail_price", "dropship_price")
    assert {name: getattr(product, name) for name in names} == dict.fromkeys(names)
    assert product.videos == product.category_path == []
    assert product.seller_scores == product.attributes_translated == {}


def test_the_detail_for_drop_shipping_has_names_of_its_own() -> None:
    product = record(read_product(DROPSHIP, sample("dropship_product")))
    assert (product.product_id, product.stock, product.unit) == (610000000062, 100, "个")
    assert [sku["stock"] for sku in product.skus] == [40, 60]
    assert product.skus[0]["image"] == "https://cbu01.alicdn.com/img/ibank/white.jpg"
    assert product.images == [
        "https://cbu01.alicdn.com/img/ibank/6200.jpg",
        "https://cbu01.alicdn.com/img/ibank/6201.jpg",
    ]
    assert product.attributes == {"材质": ["不锈钢"]}
    assert (product.min_order_quantity, product.batch_number) == (2, None)
    assert (product.weight_g, product.weight_source, product.height_cm) == (350, "declared", 24.0)
    assert (product.supplier, product.seller_id) == ("杯业旗舰店", "杯业旗舰店")
    assert product.videos == ["https://cloud.video.taobao.com/play/62.mp4"]
    assert product.listed_at == datetime(2018, 12, 13, 12, 16, 38, tzinfo=UTC)
    assert product.modified_at == datetime(2024, 3, 1, 2, 15, 30, tzinfo=UTC)
    assert product.price_private is False


@pytest.mark.parametrize(
    ("name", "shape", "ids"),
    [
        (CURATED, "curated_products", [610000000063, 610000000064]),
        (
            "com.alibaba.product:alibaba.product.getByIdList-1",
            "product_id_list",
            [610000000065, 610000000066],
        ),
        (DETAIL, "detail_retail", [610000000060]),
    ],
)
def test_the_products_of_one_call(name: str, shape: str, ids: list[int]) -> None:
    found = [fields for fields, _ in product_api(name).products(sample(shape)) if fields]
    assert [fields["product_id"] for fields in found] == ids
    for fields in found:
        record(fields)


def test_a_product_of_several_keeps_its_own_payload() -> None:
    (_, first), (_, second), *_ = product_api(CURATED).products(sample("curated_products"))
    assert (first["productID"], second["productID"]) == (610000000063, "610000000064")


def test_all_that_a_row_tells() -> None:
    page = read_page(KEYWORD, sample("keyword_query_full"))
    assert (page.total, page.page, page.page_size) == (2000, 1, 50)
    assert page.rows[0] == {
        "product_id": 610000000070,
        "name": "雨伞",
        "name_translated": "Umbrella",
        "price": Decimal("9.90"),
        "promotion_price": Decimal("8.80"),
        "dropship_price": Decimal("12.00"),
        "min_order_quantity": 2,
        "images": ["https://cbu01.alicdn.com/img/ibank/7000.jpg"],
        "category_path": [311, 1031910],
        "sales_30d": 4321,
        "repurchase_rate": 0.13,
        "trade_score": 4.7,
        "listed_at": reading.told_moment("2024-04-20T08:00:00+08:00"),
        "modified_at": reading.told_moment("2024-05-01T23:30:00+08:00"),
        "seller_scores": {
            "tradeMedalLevel": 4.0,
            "compositeServiceScore": 4.0,
            "repeatPurchasePercent": 0.6,
        },
    }
    assert page.rows[1] == {
        "product_id": 610000000071,
        "name": "雨鞋",
        "price": Decimal("25.00"),
        "category_id": 313,
        "category_path": [311, 312, 313],
        "sales_30d": 12,
        "supplier": "雨具厂",
    }


@pytest.mark.parametrize(
    ("name", "shape", "totals", "rows"),
    [
        (
            f"{CROSS_BORDER}:product.search.querySellerOfferList-1",
            "seller_offers",
            (1, 1, 20),
            [
                {
                    "product_id": 610000000072,
                    "name": "店铺杯",
                    "price": Decimal("3.30"),
                    "images": ["https://cbu01.alicdn.com/img/ibank/7200.jpg"],
                    "sales_30d": 0,
                    "repurchase_rate": 0.0,
                }
            ],
        ),
        (
            f"{CROSS_BORDER}:product.search.imageQuery-1",
            "image_query",
            (1, 1, 20),
            [
                {
                    "product_id": 610000000073,
                    "name": "同款杯",
                    "price": Decimal("3.10"),
                    "images": ["https://cbu01.alicdn.com/img/ibank/7300.jpg"],
                    "supplier": "永康市杯具有限公司",
                }
            ],
        ),
        (
            f"{CROSS_BORDER}:product.related.recommend-1",
            "related_products",
            (None, None, None),
            [
                {
                    "product_id": 610000000074,
                    "name": "相关杯",
                    "name_translated": "Related cup",
                    "price": Decimal("5.50"),
                },
                {"product_id": 610000000075},
            ],
        ),
        (
            f"{CROSS_BORDER}:product.topList.query-1",
            "top_list",
            (None, None, None),
            [
                {
                    "product_id": 610000000076,
                    "name": "榜首杯",
                    "name_translated": "First cup",
                    "images": ["https://cbu01.alicdn.com/img/ibank/7600.jpg"],
                    "sales_total": 987,
                },
                {"product_id": 610000000077, "name": "次席杯"},
            ],
        ),
        (
            f"{CROSS_BORDER}:pool.product.pull-1",
            "pool",
            (2310, None, None),
            [
                {"product_id": 610000000078, "category_id": 1031910},
                {"product_id": 610000000079},
            ],
        ),
        (
            "com.alibaba.linkplus:alibaba.cross.similar.offer.search-1",
            "similar_offers",
            (120, 1, 20),
            [
                {
                    "product_id": 610000000080,
                    "name": "相似杯",
                    "price": Decimal("4.05"),
                    "stock": 2147483646,
                    "unit": "个",
                    "min_order_quantity": 3,
                    "images": ["https://cbu01.alicdn.com/img/ibank/8000.jpg"],
                    "category_id": 1031910,
                    "ship_from": "浙江 金华",
                },
                {"product_id": 610000000081, "name": "相似碗", "ship_from": "浙江"},
            ],
        ),
        (
            OWN,
            "own_products",
            (45, 2, 20),
            [
                {
                    "product_id": 610000000082,
                    "name": "自家毛巾",
                    "price": Decimal("4.5"),
                    "price_max": Decimal("4.5"),
                    "price_tiers": [{"min_quantity": 1, "price": Decimal("4.5")}],
                    "stock": 10,
                    "status": "published",
                    "modified_at": reading.told_moment("20240301101530000+0800"),
                }
            ],
        ),
    ],
)
def test_the_rows_of_other_searches(
    name: str, shape: str, totals: tuple[Any, ...], rows: list[dict[str, Any]]
) -> None:
    page = read_page(name, sample(shape))
    assert (page.total, page.page, page.page_size) == totals
    assert page.rows == rows


def test_no_recommendation_is_an_empty_page() -> None:
    nothing = {"result": {"success": True, "result": None}}
    assert read_page(f"{CROSS_BORDER}:product.related.recommend-1", nothing).rows == []
    assert read_page(f"{CROSS_BORDER}:pool.product.pull-1", nothing).rows == []


@pytest.mark.parametrize(
    ("shipping", "grams", "source"),
    [
        ({"weight": 0.35}, 350, "declared"),
        ({"weight": "0.35", "pkgSizeSource": "预测"}, 350, "predicted"),
        ({"weight": 0.35, "officialWeight": 0.4}, 400, "measured"),
        ({"weight": 0.35, "officialWeight": 0.4, "pkgSizeSource": "官方测量"}, 400, "measured"),
        ({"weight": 0.35, "officialWeight": 0.4, "pkgSizeSource": "预测"}, 350, "declared"),
        ({"officialWeight": 0.4, "pkgSizeSource": "预测"}, 400, "predicted"),
        ({"weight": 0, "officialWeight": "0.0"}, None, None),
        ({"weight": "heavy"}, None, None),
        ({"skuShippingDetails": [{"skuId": "1", "weight": 0.2}]}, 200, "declared"),
        ({"skuShippingInfoList": [{"skuId": 1, "weight": 210}]}, 210, "declared"),
        ({"skuShippingInfoList": [{"weight": 210}, {"weight": 220}]}, None, None),
        ({"weight": "0.0001"}, None, None),
    ],
)
def test_the_weight_is_in_grams_by_the_best_source(
    shipping: dict[str, Any], grams: int | None, source: str | None
) -> None:
    fields = shipped(**shipping)
    assert (fields.get("weight_g"), fields.get("weight_source")) == (grams, source)


@pytest.mark.parametrize(("kilograms", "suspect"), [(200, False), (200.5, True), (10_000, True)])
def test_an_impossible_weight_is_kept_and_marked(kilograms: float, suspect: bool) -> None:  # noqa: FBT001
    product = record(shipped(weight=kilograms))
    assert product.weight_g == kilograms * 1000
    assert product.weight_suspect is suspect


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("20181213201638000+0800", datetime(2018, 12, 13, 12, 16, 38, tzinfo=UTC)),
        ("20181213201638000-0800", datetime(2018, 12, 14, 4, 16, 38, tzinfo=UTC)),
        ("20181213201638", datetime(2018, 12, 13, 12, 16, 38, tzinfo=UTC)),
        ("2024-04-20 08:00:00", datetime(2024, 4, 20, tzinfo=UTC)),
        ("2024-04-20T08:00:00Z", datetime(2024, 4, 20, 8, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_one_in_china(written: str, moment: datetime) -> None:
    assert reading.told_moment(written) == moment


@pytest.mark.parametrize(
    "written", [None, "", "0", "20181313201638000+0800", "0001-01-01", 5, "2" * 100, []]
)
def test_what_is_no_time_is_not_told(written: Any) -> None:
    assert reading.told_moment(written) is None


def test_a_time_for_the_platform() -> None:
    assert reading.platform_time("2024-04-20T00:00:00Z") == "20240420080000000+0800"
    with pytest.raises(ValueError, match="is no time"):
        reading.platform_time("yesterday")


@pytest.mark.parametrize(
    ("written", "share"),
    [
        ("13%", 0.13),
        ("0.13", 0.13),
        (" 100.00% ", 1.0),
        ("0%", 0.0),
        ("130%", None),
        ("13", None),
        ("-1%", None),
        ("%", None),
        ("", None),
        (True, None),
    ],
)
def test_a_share_is_from_0_to_1(written: Any, share: float | None) -> None:
    assert reading.told_share(written) == share


def test_the_third_level_is_the_category_where_no_other_is_told() -> None:
    levels = {"topCategoryId": 70, "secondCategoryId": "7001", "thirdCategoryId": 1031910}
    assert read_categories(levels) == {
        "category_id": 1031910,
        "category_path": [70, 7001, 1031910],
    }
    assert read_categories(levels | {"categoryId": "7"})["category_id"] == 7
    assert read_categories({"topCategoryId": 70}) == {"category_path": [70]}
