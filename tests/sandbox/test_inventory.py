from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.caller import FIRST, OWN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Caller


async def every_offer(gateway: Caller, **fields: Any) -> list[int]:
    ids: list[int] = []
    page: dict[str, Any] = {"data": True}
    while page["data"]:
        fields["beginPage"] = fields.get("beginPage", 0) + 1
        page = await gateway.offers(pageSize=50, **fields)
        ids += [int(row["offerId"]) for row in page["data"]]
    return ids


@pytest.mark.parametrize("keyword", ["杯子95", "cup95"])
async def test_a_number_says_how_many(gateway: Caller, keyword: str) -> None:
    assert len(set(await every_offer(gateway, keyword=keyword))) == 95
    page = await gateway.offers(keyword=keyword, pageSize=20)
    assert (page["totalRecords"], page["totalPage"], page["pageSize"]) == (95, 5, 20)
    assert page["currentPage"] == 1
    assert len(page["data"]) == 20


async def test_other_keywords_filter_by_name(gateway: Caller) -> None:
    for keyword, field in (("保温杯", "subject"), ("Thermos", "subjectTrans")):
        page = await gateway.offers(keyword=keyword, pageSize=50)
        assert page["data"]
        assert all(keyword.lower() in row[field] for row in page["data"])
    assert (await gateway.offers(keyword="飞机"))["totalRecords"] == 0


async def test_products_that_are_gone_are_not_found(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    gateway = await start(products=30, removed=3)
    ids = await every_offer(gateway, keyword="杯子95")
    assert sorted(ids) == [FIRST + index for index in range(30) if (index + 1) % 3]
    await gateway.control(f"products/{FIRST}", {"removed": True})
    assert FIRST not in await every_offer(gateway, keyword="杯子95")


async def test_a_page_past_the_end_is_empty(gateway: Caller) -> None:
    assert (await gateway.offers(keyword="杯子5", beginPage=2))["data"] == []
    answer = await gateway.router("alibaba.product.search", keyword="杯子5", page_no="2")
    assert answer.json["result"] == {
        "totalCount": 5,
        "pageNo": 2,
        "pageSize": 20,
        "products": [],
    }


@pytest.mark.parametrize("page", [{"pageNo": 3}, {"beginPage": "x"}, {"beginPage": 0}])
async def test_a_wrong_page_is_the_first_one(gateway: Caller, page: dict[str, Any]) -> None:
    first = await gateway.offers(keyword="杯子95")
    assert await gateway.offers(keyword="杯子95", **page) == first


async def test_two_thousand_rows_are_the_most_of_a_query(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    gateway = await start(products=3000)
    page = await gateway.offers(keyword="杯子2500", pageSize=50, beginPage=40)
    assert (page["totalRecords"], page["totalPage"], len(page["data"])) == (2500, 40, 50)
    page = await gateway.offers(keyword="杯子2500", pageSize=50, beginPage=41)
    assert (page["totalRecords"], page["data"]) == (2500, [])


async def test_price_ranges_split_a_search(gateway: Caller) -> None:
    whole = await gateway.offers(keyword="杯子500")
    public = await gateway.offers(keyword="杯子500", priceStart="0")
    cheap = await gateway.offers(keyword="杯子500", priceStart="0", priceEnd="20")
    dear = await gateway.offers(keyword="杯子500", priceStart=20.001)
    assert 0 < cheap["totalRecords"] < public["totalRecords"] < whole["totalRecords"]
    assert cheap["totalRecords"] + dear["totalRecords"] == public["totalRecords"]
    prices = [float(row["priceInfo"]["price"]) for row in cheap["data"]]
    assert max(prices) <= 20


async def test_a_category_alone_is_enough(gateway: Caller) -> None:
    page = await gateway.offers(categoryId=1031910)
    assert 0 < page["totalRecords"] < 1000
    assert page == await gateway.offers(categoryId="1031910")
    assert all("杯" in row["subject"] for row in page["data"])
    assert (await gateway.offers(categoryId=1))["totalRecords"] == 0


async def test_the_sort_holds_within_a_page(gateway: Caller) -> None:
    def prices(page: dict[str, Any]) -> list[float]:
        told = [row["priceInfo"]["price"] for row in page["data"]]
        return [float(price) for price in told if price is not None]

    unsorted = await gateway.offers(keyword="杯子95", beginPage=2)
    up = await gateway.offers(keyword="杯子95", beginPage=2, sort='{"price":"asc"}')
    down = await gateway.offers(keyword="杯子95", beginPage=2, sort={"price": "desc"})
    assert prices(up) == sorted(prices(unsorted))
    assert prices(down) == sorted(prices(unsorted), reverse=True)
    assert await gateway.offers(keyword="杯子95", beginPage=2, sort="other") == unsorted


async def test_the_router_pages(gateway: Caller) -> None:
    ids = []
    for number in range(1, 4):
        answer = await gateway.router(
            "alibaba.product.search", keyword="杯子50", page_no=str(number), page_size="20"
        )
        assert answer.json["result"]["totalCount"] == 50
        for row in answer.json["result"]["products"]:
            assert set(row) == {"productID", "productName", "price", "quantity"}
            ids.append(int(row["productID"]))
    assert len(ids) == len(set(ids)) == 50


async def test_the_sellers_own_products(gateway: Caller) -> None:
    ids = []
    for number in range(1, 7):
        answer = await gateway.param2(OWN, pageNo=str(number), pageSize="20")
        result = answer.json["result"]["pageResult"]
        assert result["totalRecords"] == 95
        ids += [int(row["productID"]) for row in result["resultList"]]
    assert ids == [FIRST + index for index in range(95)]
