from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.sandbox.category_tree import CATEGORIES
from ali1688_spider.sandbox.products import FILTER_NAMES
from tests.sandbox.caller import FIRST, OFFERS

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
    # One page too many, as on the platform.
    assert (page["totalRecords"], page["totalPage"], page["pageSize"]) == (95, 6, 20)
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


async def test_two_thousand_rows_are_the_most_that_a_search_tells_of(
    start: Callable[..., Awaitable[Caller]],
) -> None:
    gateway = await start(products=3000)
    page = await gateway.offers(keyword="杯子2500", pageSize=50, beginPage=40)
    assert (page["totalRecords"], page["totalPage"], len(page["data"])) == (2000, 41, 50)
    page = await gateway.offers(keyword="杯子2500", pageSize=50, beginPage=41)
    assert (page["totalRecords"], page["data"]) == (2000, [])
    assert (await gateway.offers(keyword="杯子1999"))["totalRecords"] == 1999


async def test_price_ranges_split_a_search(gateway: Caller) -> None:
    whole = await gateway.offers(keyword="杯子500")
    cheap = await gateway.offers(keyword="杯子500", priceStart="0", priceEnd="20")
    dear = await gateway.offers(keyword="杯子500", priceStart=20.001)
    assert 0 < cheap["totalRecords"] < whole["totalRecords"]
    assert cheap["totalRecords"] + dear["totalRecords"] == whole["totalRecords"] == 500
    prices = [row["priceInfo"]["price"] for row in cheap["data"]]
    assert max(float(price) for price in prices if price is not None) <= 20


async def test_a_private_price_is_searched_for_but_not_told(gateway: Caller) -> None:
    truth = await gateway.control(f"products/{FIRST + 4}", method="GET")
    assert truth["traits"]["private"]
    page = await gateway.offers(
        keyword="杯子1000", priceStart=truth["price"], priceEnd=truth["price"]
    )
    (row,) = [row for row in page["data"] if int(row["offerId"]) == FIRST + 4]
    assert set(row["priceInfo"].values()) == {None}


@pytest.mark.parametrize("kind", ["sales7", "sales14", "sales30", "totalSales"])
async def test_ranges_of_sales_split_a_search(gateway: Caller, kind: str) -> None:
    middle = {"sales7": 80, "sales14": 160, "sales30": 330, "totalSales": 10_000}[kind]
    halves = (
        {"saleType": kind, "saleEnd": str(middle)},
        {"saleType": kind, "saleStart": str(middle + 1)},
    )
    totals = [
        (await gateway.offers(keyword="杯子500", saleFilterList=[half]))["totalRecords"]
        for half in halves
    ]
    assert min(totals) > 0
    assert sum(totals) == 500
    both = await gateway.offers(keyword="杯子500", saleFilterList=list(halves))
    assert both["totalRecords"] == 0


@pytest.mark.parametrize("word", ["保温杯", "glass cup", "杯子水具"])
async def test_a_noun_counts_within_its_category(gateway: Caller, word: str) -> None:
    page = await gateway.offers(keyword=f"{word}60", pageSize=50)
    assert page["totalRecords"] == 60
    assert {int(row["thirdCategoryId"]) for row in page["data"]} == {1031910}
    assert page == await gateway.offers(keyword=f"{word}60", pageSize=50, categoryId=1031910)
    assert (await gateway.offers(keyword=f"{word}60", categoryId=1046))["totalRecords"] == 0


async def test_other_counted_keywords_are_of_all_categories(gateway: Caller) -> None:
    ids = set(await every_offer(gateway, keyword="杯子95"))
    leaves = [row.category_id for row in CATEGORIES]
    parts = [await every_offer(gateway, keyword="杯子95", categoryId=leaf) for leaf in leaves]
    assert all(parts)
    assert sorted(id_ for part in parts for id_ in part) == sorted(ids)


async def test_a_category_alone_is_enough(gateway: Caller) -> None:
    page = await gateway.offers(categoryId=1031910)
    assert 0 < page["totalRecords"] < 1000
    assert page == await gateway.offers(categoryId="1031910")
    assert all("杯" in row["subject"] for row in page["data"])
    assert (await gateway.offers(categoryId=1))["totalRecords"] == 0


async def test_a_category_of_any_level_holds_its_leaves(gateway: Caller) -> None:
    async def total(**fields: Any) -> int:
        found: int = (await gateway.offers(keyword="杯子1000", **fields))["totalRecords"]
        return found

    women, men = await total(categoryId=10166), await total(categoryId=10165)
    assert await total(categoryId=7101) == women + men
    bags = await total(categoryId=68)
    assert await total(categoryId=71) == women + men + bags
    assert await total(categoryIdList="10166, 68") == women + bags
    assert await total(categoryIdList="7101,10166") == women + men
    page = await gateway.offers(categoryIdList="68", keyword="")
    assert page["totalRecords"] == bags


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


@pytest.mark.parametrize(
    ("key", "field"), [("rePurchaseRate", "repurchaseRate"), ("monthSold", "monthSold")]
)
async def test_sorts_by_sales(gateway: Caller, key: str, field: str) -> None:
    for direction in ("asc", "desc"):
        page = await gateway.offers(keyword="杯子95", sort=json.dumps({key: direction}))
        told = [int(str(row[field]).rstrip("%")) for row in page["data"] if field in row]
        assert told == sorted(told, reverse=direction == "desc")


async def test_filters_leave_out_what_does_not_fit(gateway: Caller) -> None:
    for name in sorted(FILTER_NAMES):
        found = await every_offer(gateway, keyword="杯子400", filter=name)
        assert 0 < len(found) < 400, name
    fast = await every_offer(gateway, keyword="杯子400", filter="shipIn24Hours")
    in_two_days = await every_offer(gateway, keyword="杯子400", filter="shipIn48Hours")
    assert set(fast) < set(in_two_days)
    both = await every_offer(gateway, keyword="杯子400", filter="shipIn24Hours, jxhy")
    curated = await every_offer(gateway, keyword="杯子400", filter="jxhy")
    assert set(both) == set(fast) & set(curated)


async def test_an_unknown_filter_is_refused(gateway: Caller) -> None:
    query = {"keyword": "杯", "country": "en", "filter": "jxhy,cheap"}
    answer = await gateway.param2(OFFERS, offerQueryParam=query)
    assert answer.json["result"]["message"] == "there is no filter cheap"


@pytest.mark.parametrize(
    "fields",
    [
        {"saleFilterList": [{"saleType": "sales60"}]},
        {"saleFilterList": ["sales7"]},
        {"saleFilterList": [{"saleType": "sales7", "saleEnd": "x"}]},
        {"priceStart": "x"},
    ],
)
async def test_a_wrong_criterion_is_refused(gateway: Caller, fields: dict[str, Any]) -> None:
    query = {"keyword": "杯", "country": "en"} | fields
    assert (await gateway.param2(OFFERS, offerQueryParam=query)).code == "gw.ParamMissing"


async def test_what_is_not_published_is_found_and_fetched(gateway: Caller) -> None:
    found = set(await every_offer(gateway, keyword="杯子1000"))
    statuses = {number: (await gateway.offer(number))["status"] for number in (13, 42, 71, 100)}
    assert "published" not in statuses.values()
    assert {FIRST - 1 + number for number in statuses} <= found


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
