"""What answers tell besides price and stock, and what they leave out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.category_tree import path_of
from ali1688_spider.sandbox.sandbox_product import SandboxProduct
from ali1688_spider.sandbox.shapes.offer_rows import offer_row
from ali1688_spider.sandbox.shapes.offers import offer
from ali1688_spider.sandbox.shapes.product_info import full_product
from tests.sandbox.caller import FIRST

if TYPE_CHECKING:
    from tests.sandbox.caller import Caller

HUNDRED = [SandboxProduct(number, 0, {}) for number in range(1, 101)]
ROW = {
    "offerId",
    "subject",
    "subjectTrans",
    "imageUrl",
    "whiteImage",
    "isJxhy",
    "priceInfo",
    "repurchaseRate",
    "monthSold",
    "sales7d",
    "tradeScore",
    "minOrderQuantity",
    "isOnePsale",
    "topCategoryId",
    "secondCategoryId",
    "thirdCategoryId",
    "createDate",
    "modifyDate",
    "sellerIdentities",
    "offerIdentities",
    "isPatentProduct",
    "promotionModel",
    "sellerDataInfo",
    "productSimpleShippingInfo",
    "productTradeInfo",
    "invoiceInfo",
    "promotionURL",
}


def told(product: SandboxProduct, **options: Any) -> dict[str, Any]:
    fields: dict[str, Any] = offer(product, **options)["result"]["result"]
    return fields


def test_a_row_tells_all_that_the_platform_tells() -> None:
    for product in HUNDRED:
        row = offer_row(product, "en", curated=False)
        assert set(row) == ROW or product.traits.sparse
        assert re.fullmatch(r"\d+%", row["repurchaseRate"])
        prices = [price for price in row["priceInfo"].values() if price is not None]
        assert all(isinstance(price, str) for price in prices)
        assert bool(prices) is not product.traits.private
        assert isinstance(row["sales7d"], str)
    sparse = [offer_row(product, "en", curated=False) for product in HUNDRED[3::7]]
    assert all("monthSold" not in row and "createDate" not in row for row in sparse)


def test_the_parcel_is_measured_declared_predicted_or_not_told() -> None:
    sources: dict[Any, int] = {}
    for product in HUNDRED:
        if product.traits.sparse:
            continue
        parcel = told(product)["productShippingInfo"]
        sources[parcel.get("pkgSizeSource")] = sources.get(parcel.get("pkgSizeSource"), 0) + 1
        if parcel["weight"] is None:
            assert parcel["skuShippingInfoList"] == parcel["skuShippingDetails"] == []
            assert "length" not in parcel
        elif parcel["pkgSizeSource"] == "官方测量":
            assert parcel["weight"] > parcel["officialWeight"]
        else:
            assert "officialWeight" not in parcel
    assert set(sources) == {"官方测量", "商家自填", "预测", None}
    assert 35 <= sources[None] <= 50


def test_the_weight_of_skus_is_told_in_grams_and_in_kilograms() -> None:
    product = next(each for each in HUNDRED if each.traits.weighed and each.skus)
    parcel = told(product)["productShippingInfo"]
    for grams, kilograms in zip(
        parcel["skuShippingInfoList"], parcel["skuShippingDetails"], strict=True
    ):
        assert grams["weight"] == round(kilograms["weight"] * 1000) > 1
        assert kilograms["skuId"] == str(grams["skuId"])


def test_some_weights_are_absurd() -> None:
    product = next(each for each in HUNDRED if each.traits.absurd and not each.traits.sparse)
    parcel = told(product)["productShippingInfo"]
    assert (parcel["weight"], parcel["pkgSizeSource"]) == (10_000, "商家自填")
    assert full_product(product)["productInfo"]["shippingInfo"]["unitWeight"] == 10_000


def test_sold_out_is_how_many_were_sold() -> None:
    for product in HUNDRED:
        sold = told(product)["soldOut"]
        assert sold == (str(product.sales.total) if product.traits.texts else product.sales.total)


def test_scores_of_the_seller() -> None:
    scores = told(HUNDRED[0])["sellerDataInfo"]
    assert len(scores) == 11
    assert 3 <= float(scores["compositeServiceScore"]) <= 5
    assert told(HUNDRED[0])["sellerOpenId"] == HUNDRED[0].seller.open_id


def test_categories_are_told_from_the_top() -> None:
    for product in HUNDRED:
        fields = told(product)
        names = ("topCategoryId", "secondCategoryId", "thirdCategoryId")
        ids = tuple(int(fields[name]) for name in names)
        assert ids == path_of(product.category.category_id)


def test_videos_dates_and_cargo_numbers() -> None:
    videos = [told(product)["mainVideo"] for product in HUNDRED]
    assert 30 < sum(video is not None for video in videos) < 40
    fields = told(HUNDRED[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", fields["createDate"])
    assert fields["productCargoNumber"] == "C1"
    assert [sku["cargoNumber"] for sku in fields["productSkuInfos"]] == ["C1-0", "C1-1", "C1-2"]
    assert fields["batchNumber"] == 1
    info = full_product(HUNDRED[0])["productInfo"]
    assert re.fullmatch(r"\d{17}\+0800", info["createTime"])
    assert {"mainVedio", "detailVedio"} < set(info)


async def test_the_country_chooses_the_language(gateway: Caller) -> None:
    english, japanese = [await gateway.offer(1, country=name) for name in ("en", "ja")]
    assert japanese["subject"] == english["subject"]
    assert japanese["subjectTrans"] == "[ja] " + english["subjectTrans"]
    (sku, *_) = japanese["productSkuInfos"]
    assert sku["skuAttributes"][0]["valueTrans"] == "[ja] red"
    assert japanese["productAttribute"][0]["attributeNameTrans"] == "[ja] Material"
    page = await gateway.offers(keyword="杯子5", country="ru")
    assert all(row["subjectTrans"].startswith("[ru] ") for row in page["data"])


async def test_a_currency_adds_its_prices(gateway: Caller) -> None:
    without, with_hkd = [await gateway.offer(66, **more) for more in ({}, {"currency": "HKD"})]
    (tier,) = with_hkd["productSaleInfo"]["priceRangeList"]
    assert (tier["price"], tier["foreignCurrencyPrice"]) == (4.05, "4.41")
    assert "foreignCurrencyPrice" not in str(without)


async def test_a_change_moves_the_date_of_modification(gateway: Caller) -> None:
    async def dates() -> tuple[Any, Any]:
        page = await gateway.offers(keyword="杯子1000", filter="isOnePsale", pageSize=50)
        rows = [row for row in page["data"] if "modifyDate" in row]
        return int(rows[0]["offerId"]), rows[0]["modifyDate"]

    product_id, before = await dates()
    assert await dates() == (product_id, before)
    await gateway.control(f"products/{product_id}", {"stock": 3})
    assert (await dates())[1] > before
    await gateway.control(f"products/{product_id}", method="DELETE")
    await gateway.control("settings", {"step": 1000})
    assert (await dates())[1] > before
    assert product_id >= FIRST
