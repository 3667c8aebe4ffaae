"""What an app may ask for: products with a relation, curated goods, the seller's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.sandbox.shapes import platform_text
from tests.sandbox.caller import (
    CROSS,
    CROSS_BORDER,
    CROSS_LIST,
    CURATED,
    FENXIAO,
    FIRST,
    OWN,
    OWN_BY_ID,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Answer, Caller

LISTING = "com.alibaba.product.push:alibaba.cross.syncProductListPushed-1"
FOLLOW = "com.alibaba.product:alibaba.product.follow.crossborder-1"
UNFOLLOW = "com.alibaba.product:alibaba.product.unfollow.crossborder-1"
ADD = f"{CROSS_BORDER}:product.kjdistribute.addRelation-1"


async def told(gateway: Caller, product_id: int) -> bool:
    answer = await gateway.param2(CROSS, productId=str(product_id))
    return "productInfo" in answer.json


async def test_without_a_relation_the_product_decides_how_it_is_refused(gateway: Caller) -> None:
    odd = await gateway.param2(CROSS, productId=str(FIRST))
    assert odd.json == {"success": False, "errorCode": "SP0056", "errorMessage": "商品不存在"}
    even = await gateway.param2(CROSS, productId=str(FIRST + 1))
    assert even.json["errorMessage"] == "没有该商品的查询权限"
    assert (await gateway.status())["errors"] == {"no-relation-sp0056": 1, "no-relation": 1}


@pytest.mark.parametrize(
    ("api", "params", "body"),
    [
        (
            LISTING,
            {"productIdList": [FIRST]},
            {"result": {"success": True, "errorCode": None, "errorMsg": None}},
        ),
        (FOLLOW, {"productId": str(FIRST)}, {"code": 0, "message": "success"}),
        (ADD, {"offerId": str(FIRST)}, None),
    ],
)
async def test_calls_make_relations(
    gateway: Caller, api: str, params: dict[str, Any], body: dict[str, Any] | None
) -> None:
    assert not await told(gateway, FIRST)
    answer = await gateway.param2(api, **params)
    assert body in (None, answer.json)
    assert await told(gateway, FIRST)
    await gateway.param2(UNFOLLOW, productId=str(FIRST))
    assert not await told(gateway, FIRST)


async def test_the_control_address_makes_relations(gateway: Caller) -> None:
    await gateway.control(f"products/{FIRST}", {"related": True})
    assert await told(gateway, FIRST)
    await gateway.control(f"products/{FIRST}", method="DELETE")
    assert not await told(gateway, FIRST)


async def test_a_share_has_relations(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(products=100, related=0.3)
    related = [await told(gateway, FIRST + index) for index in range(100)]
    assert 29 <= related.count(True) <= 31  # evenly spread, not drawn by chance


@pytest.mark.parametrize(
    ("api", "params", "body"),
    [
        (FOLLOW, {"productId": "5"}, {"code": -1, "message": "商品不存在"}),
        (ADD, {"offerId": "5"}, {"result": {"success": False, "msg": "商品不存在"}}),
        (
            LISTING,
            {"productIdList": [FIRST, 5]},
            {"result": {"success": False, "errorCode": "500", "errorMsg": "商品[5]不存在"}},
        ),
        (
            LISTING,
            {"productIdList": list(range(FIRST, FIRST + 21))},
            {
                "result": {
                    "success": False,
                    "errorCode": "500",
                    "errorMsg": "the products are too many",
                }
            },
        ),
    ],
)
async def test_relations_that_cannot_be_made(
    gateway: Caller, api: str, params: dict[str, Any], body: dict[str, Any]
) -> None:
    assert (await gateway.param2(api, **params)).json == body
    assert not await told(gateway, FIRST)


async def test_a_list_tells_products_with_a_relation_without_prices(gateway: Caller) -> None:
    await gateway.param2(LISTING, productIdList=[FIRST, FIRST + 2])
    answer = await gateway.param2(CROSS_LIST, productIdList=[FIRST, FIRST + 1, FIRST + 2])
    rows = answer.json["productList"]
    assert [int(row["productID"]) for row in rows] == [FIRST, FIRST + 2]
    assert not {"skuInfos", "saleInfo", "referencePrice"} & set(rows[0])
    assert answer.json["success"] is True
    refused = await gateway.param2(CROSS_LIST, productIdList=[FIRST + 1])
    assert refused.json["errorMessage"] == "没有该商品的查询权限"


async def curated(gateway: Caller, ids: list[int]) -> Answer:
    return await gateway.param2(CURATED, offerIds=ids)


async def test_curated_goods_come_all_or_none(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(products=100, curated=1.0)
    ids = list(range(FIRST, FIRST + 50))
    answer = (await curated(gateway, ids)).json["result"]
    assert answer["success"] is True
    infos = [row["productInfo"] for row in answer["result"]]
    assert [int(info["productID"]) for info in infos] == ids
    assert all(info["image"]["images"][0].startswith("img/") for info in infos)
    assert any("mainVedio" in info for info in infos)
    assert set((await gateway.status())["by_product"].values()) == {1}

    for foreign in (FIRST + 7, 1_004_582_496_795):
        await gateway.control(f"products/{FIRST + 7}", {"curated": False})
        answer = await curated(gateway, [FIRST, foreign, FIRST + 1])
        assert answer.json == {
            "result": {"success": False, "message": f"offerId:{foreign} 不是精选货源商品"}
        }


async def test_a_batch_of_curated_goods_has_fifty_at_most(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    gateway = await start(products=100, curated=1.0)
    answer = await curated(gateway, list(range(FIRST, FIRST + 51)))
    assert answer.json["result"]["success"] is False
    assert "不是精选货源商品" not in answer.json["result"]["message"]


@pytest.mark.parametrize("ids", ["", "5", "{}", "[]", '["x"]', "[0]"])
async def test_wrong_lists_of_ids(gateway: Caller, ids: str) -> None:
    for api, name in ((CURATED, "offerIds"), (CROSS_LIST, "productIdList")):
        assert (await gateway.param2(api, **{name: ids})).code == "gw.ParamMissing"


async def test_a_search_says_what_is_curated(gateway: Caller) -> None:
    page = await gateway.offers(keyword="杯子400", filter="jxhy", pageSize=50)
    ids = [int(row["offerId"]) for row in page["data"]]
    assert {str(row["isJxhy"]).lower() for row in page["data"]} == {"true"}
    assert (await curated(gateway, ids)).json["result"]["success"] is True
    assert str((await gateway.offer(ids[0] - FIRST + 1))["isJxhy"]).lower() == "true"


async def test_drop_shipping_has_names_of_its_own(gateway: Caller) -> None:
    answer = (await gateway.param2(FENXIAO, offerId=str(FIRST + 4))).json
    info = answer["productInfo"]
    assert {"productSkuInfos", "productSaleInfo", "productImage", "productAttribute"} < set(info)
    assert not {"skuInfos", "saleInfo", "image", "attributes"} & set(info)
    assert [answer[name] for name in ("success", "errorCode", "errorMsg")] == [True, None, None]
    sku = (await gateway.param2(FENXIAO, offerId=str(FIRST + 20))).json["productInfo"]
    truth = await gateway.control(f"products/{FIRST + 20}", method="GET")
    assert truth["traits"]["dropship"]
    told = [str(row["consignPrice"]) for row in sku["productSkuInfos"]]
    assert list(map(float, told)) == [float(row["dropship_price"]) for row in truth["skus"]]


async def test_drop_shipping_by_an_open_id(gateway: Caller) -> None:
    answer = await gateway.param2(FENXIAO, openOfferId="NjEwMDAwMDAwMDAx")
    assert answer.json["productInfo"]["productID"] == FIRST
    assert (await gateway.param2(FENXIAO)).code == "gw.ParamMissing"
    gone = await gateway.param2(FENXIAO, openOfferId="Wcv2w970KoL1BCpJGQp3vw==")
    assert "不存在" in gone.json["errMsg"]


async def own(gateway: Caller, **params: Any) -> tuple[list[int], dict[str, Any]]:
    """Walk the seller's own products; return the ids and the last page."""
    ids: list[int] = []
    page: dict[str, Any] = {"resultList": True}
    while page["resultList"]:
        number = str(1 + int(page.get("pageIndex", 0)))
        answer = await gateway.param2(OWN, pageNo=number, pageSize="20", **params)
        page = answer.json["result"]["pageResult"]
        ids += [int(row["productID"]) for row in page["resultList"]]
    return ids, page


async def test_only_the_order_of_ids_walks_all_own_products(gateway: Caller) -> None:
    every = [FIRST + index for index in range(95)]
    ids, page = await own(gateway, orderByCondition="ID")
    assert ids == every
    assert page == {"pageIndex": 6, "sizePerPage": 20, "totalRecords": 95, "resultList": []}
    ids, _ = await own(gateway, orderByCondition="ID", orderByType="DESC")
    assert ids == every[::-1]
    for order in ({}, {"orderByCondition": "MODIFY_TIME"}):
        ids, _ = await own(gateway, **order)
        assert len(ids) == 95
        assert len(set(ids)) < 95


async def test_own_products_by_what_they_are(gateway: Caller) -> None:
    by_id = {"orderByCondition": "ID"}
    ids, _ = await own(gateway, productIds=[FIRST, FIRST + 3, FIRST + 500], **by_id)
    assert ids == [FIRST, FIRST + 3]
    ids, page = await own(gateway, statusList=["published"], **by_id)
    assert len(ids) == page["totalRecords"] == 92
    assert FIRST + 12 not in ids
    await gateway.control(f"products/{FIRST + 8}", {"price": "1.00"})
    now = (await gateway.control(f"products/{FIRST + 8}", method="GET"))["modified_at"]
    ids, _ = await own(gateway, startModifyTime=platform_text(now - 60), **by_id)
    assert ids == [FIRST + 8]
    ids, _ = await own(gateway, endModifyTime=platform_text(now - 60), **by_id)
    assert len(ids) == 94


async def test_own_products_have_details_when_they_are_wanted(gateway: Caller) -> None:
    for wanted in ("true", "false"):
        answer = await gateway.param2(OWN, needDetail=wanted, orderByCondition="ID")
        rows = answer.json["result"]["pageResult"]["resultList"]
        assert all(("saleInfo" in row) is json.loads(wanted) for row in rows)
        assert all("description" not in row for row in rows)
    answer = await gateway.param2(OWN_BY_ID, productIdList=[FIRST, FIRST + 500])
    (row,) = answer.json["productList"]
    assert (row["productID"], "saleInfo" in row) == (FIRST, True)


@pytest.mark.parametrize(
    "params",
    [
        {"orderByType": "UP"},
        {"statusList": "published"},
        {"startModifyTime": "2026-01-01"},
        {"endModifyTime": "20261301000000000+0800"},
        {"productIds": "1,2"},
        {"pageNo": "0"},
    ],
)
async def test_wrong_parameters_of_the_own_list(gateway: Caller, params: dict[str, str]) -> None:
    assert (await gateway.param2(OWN, **params)).code == "gw.ParamMissing"
