"""The other ways to find products: pictures, sellers, recommendations, rankings, pools."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.sandbox.category_tree import leaves_of
from tests.sandbox.caller import CROSS_BORDER, FIRST

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Answer, Caller

UPLOAD = f"{CROSS_BORDER}:product.image.upload-1"
IMAGE = f"{CROSS_BORDER}:product.search.imageQuery-1"
SIMILAR = "com.alibaba.linkplus:alibaba.cross.similar.offer.search-1"
SELLER = f"{CROSS_BORDER}:product.search.querySellerOfferList-1"
RECOMMEND = f"{CROSS_BORDER}:product.search.offerRecommend-1"
RELATED = f"{CROSS_BORDER}:product.related.recommend-1"
TOP = f"{CROSS_BORDER}:product.topList.query-1"
KEYWORDS = f"{CROSS_BORDER}:product.search.topKeyword-1"
POOL = f"{CROSS_BORDER}:pool.product.pull-1"
POOL_ID = 174_316_138
PNG_START = b"\x89PNG\r\n\x1a\n"


async def upload(gateway: Caller, data: bytes, *, prefix: str = "") -> Any:
    text = prefix + base64.b64encode(data).decode()
    answer = await gateway.param2(UPLOAD, uploadImageParam={"imageBase64": text})
    return answer.json["result"]["result"]


async def by_image(gateway: Caller, **fields: Any) -> dict[str, Any]:
    query = {"country": "en", "beginPage": 1, "pageSize": 50} | fields
    answer = await gateway.param2(IMAGE, offerQueryParam=query)
    page: dict[str, Any] = answer.json["result"]["result"]
    return page


def ids_of(rows: list[dict[str, Any]], name: str = "offerId") -> list[int]:
    return [int(row[name]) for row in rows]


async def picture(gateway: Caller, product_id: int) -> Answer:
    return await gateway.send("GET", f"/_sandbox/images/{product_id}.png")


async def test_the_picture_of_a_product_finds_it_first(gateway: Caller) -> None:
    for number in (1, 8, 500):
        served = await picture(gateway, FIRST - 1 + number)
        assert served.headers["Content-Type"] == "image/png"
        page = await by_image(gateway, imageId=await upload(gateway, served.body))
        ids = ids_of(page["data"])
        assert ids[0] == FIRST - 1 + number
        assert len(ids) == len(set(ids)) == 50
        assert len({int(row["thirdCategoryId"]) for row in page["data"]}) == 1
        assert {"companyName", "offerDataInfo"} < set(page["data"][0])
        assert page["picRegionInfo"]


async def test_another_picture_finds_something_too(gateway: Caller) -> None:
    for data in (PNG_START + b"x", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\0\0\0\0WEBP"):
        image_id = await upload(gateway, data)
        assert image_id == await upload(gateway, data) != "0"
        assert (await by_image(gateway, imageId=image_id))["data"]


async def test_what_is_no_fit_picture_has_the_id_0(gateway: Caller) -> None:
    assert await upload(gateway, b"only a text") == "0"
    assert await upload(gateway, PNG_START + bytes(80 * 1024)) == "0"
    assert await upload(gateway, PNG_START + bytes(70 * 1024)) != "0"
    assert await upload(gateway, PNG_START, prefix="data:image/png;base64,") == "0"


@pytest.mark.parametrize("image_id", ["0", "123", "x"])
async def test_an_image_id_that_was_never_given_is_refused(gateway: Caller, image_id: str) -> None:
    query = {"country": "en", "imageId": image_id}
    answer = await gateway.param2(IMAGE, offerQueryParam=query)
    assert answer.json["result"]["success"] is False


async def test_a_picture_search_takes_criteria_too(gateway: Caller) -> None:
    image_id = await upload(gateway, (await picture(gateway, FIRST)).body)
    whole = await by_image(gateway, imageId=image_id)
    cheap = await by_image(gateway, imageId=image_id, priceEnd="20")
    assert 0 < cheap["totalRecords"] < whole["totalRecords"]
    other = await by_image(gateway, imageId=image_id, categoryId=10166)
    assert other["totalRecords"] in (0, whole["totalRecords"])


async def test_the_platforms_own_pictures_need_no_upload(gateway: Caller) -> None:
    address = (await gateway.offer(7))["productImage"]["images"][1]
    page = await by_image(gateway, imageAddress=address)
    assert ids_of(page["data"])[0] == FIRST + 6


async def test_similar_products_have_prices_in_fen(gateway: Caller) -> None:
    truth = await gateway.control(f"products/{FIRST + 6}", method="GET")
    address = (await gateway.offer(7))["productImage"]["images"][0]
    answer = await gateway.param2(SIMILAR, picUrl=address, page="1", pageSize="20")
    assert answer.json["success"] is True
    result = answer.json["result"]
    assert (result["page"], result["pageSize"], len(result["result"])) == (1, 20, 20)
    (row, *_) = result["result"]
    assert row["offerId"] == str(FIRST + 6)
    assert row["oldPrice"] == float(truth["price"]) * 100
    assert set(row) == {
        *("offerId", "subject", "quantityBegin", "unit", "oldPrice", "imageUrl", "province"),
        *("city", "supplyAmount", "categoryId", "detailUrl"),
    }


@pytest.mark.parametrize(
    "params", [{"picUrl": "http://a/b.png"}, {"page": ""}, {"page": "0"}, {"picUrl": ""}]
)
async def test_wrong_calls_for_similar_products(gateway: Caller, params: dict[str, str]) -> None:
    usual = {"picUrl": "https://a/b.png", "page": "1"}
    assert (await gateway.param2(SIMILAR, **(usual | params))).code == "gw.ParamMissing"


async def test_a_seller_has_several_offers(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(products=20_000)
    offer = await gateway.offer(1)

    async def shop(**fields: Any) -> dict[str, Any]:
        query = {"sellerOpenId": offer["sellerOpenId"], "country": "en", "pageSize": 50} | fields
        answer = await gateway.param2(SELLER, offerQueryParam=query)
        page: dict[str, Any] = answer.json["result"]["result"]
        return page

    page = await shop()
    ids = ids_of(page["data"])
    assert FIRST in ids
    assert 20 < page["totalRecords"] == len(ids) < 60
    assert not any("promotionPrice" in row["priceInfo"] for row in page["data"])
    sellers = {(await gateway.offer(id_ - FIRST + 1))["sellerOpenId"] for id_ in ids}
    assert sellers == {offer["sellerOpenId"]}
    assert 0 < (await shop(categoryId=71))["totalRecords"] < page["totalRecords"]
    assert (await shop(sellerOpenId="nobody"))["data"] == []


async def test_recommendations_are_each_users_own(gateway: Caller) -> None:
    async def recommended(user: str, page: int) -> list[int]:
        query = {"beginPage": page, "pageSize": 50, "country": "en", "outMemberId": user}
        answer = await gateway.param2(RECOMMEND, recommendOfferParam=query)
        return ids_of(answer.json["result"]["result"])

    ids = [id_ for page in range(1, 6) for id_ in await recommended("a", page)]
    assert len(ids) == len(set(ids)) == 200
    assert await recommended("a", 1) != await recommended("b", 1)


async def test_related_products_are_of_the_same_category(gateway: Caller) -> None:
    async def related(page: int, size: int = 10) -> Answer:
        query = {"offerId": FIRST, "pageNo": page, "pageSize": size, "language": "ja"}
        return await gateway.param2(RELATED, relatedQueryParams=query)

    rows = [row for page in range(1, 7) for row in (await related(page)).json["result"]["result"]]
    assert len(set(ids_of(rows))) == len(rows) == 50
    assert FIRST not in ids_of(rows)
    assert len({int(row["thirdCategoryId"]) for row in rows}) == 1
    assert all(row["subjectTrans"].startswith("[ja]") for row in rows)
    assert (await related(1, 11)).json["result"]["success"] is False


@pytest.mark.parametrize(
    ("kind", "name"), [("hot", "soldOut"), ("goodPrice", None), ("complex", None)]
)
async def test_rankings_of_a_category(gateway: Caller, kind: str, name: str | None) -> None:
    query = {"rankId": "71", "rankType": kind, "limit": 20, "language": "en"}
    ranking = (await gateway.param2(TOP, rankQueryParams=query)).json["result"]["result"]
    rows = ranking["rankProductModels"]
    assert ranking["rankId"] == "71"
    assert [row["sort"] for row in rows] == list(range(1, 21))
    leaves = leaves_of(71)
    for row in rows[:3]:
        truth = await gateway.control(f"products/{row['itemId']}", method="GET")
        assert truth["category_id"] in leaves
    if name:
        told = [row[name] for row in rows]
        assert told == sorted(told, reverse=True)


async def test_hot_words_need_no_token(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(access_token="token")
    query = {"country": "ja", "sourceId": "7001", "hotKeywordType": "cate"}
    rows = (await gateway.param2(KEYWORDS, topSeKeywordParam=query)).json["result"]["result"]
    assert rows == [
        {"seKeyword": "保温杯", "seKeywordTranslation": "[ja] thermos cup"},
        {"seKeyword": "玻璃杯", "seKeywordTranslation": "[ja] glass cup"},
    ]


async def pool(gateway: Caller, page: int, **fields: Any) -> list[dict[str, Any]]:
    query = {"offerPoolId": POOL_ID, "taskId": "t", "pageNo": page, "pageSize": 200} | fields
    answer = await gateway.param2(POOL, offerPoolQueryParam=query)
    rows: list[dict[str, Any]] = answer.json["result"]["result"]
    return rows


async def test_a_pool_is_walked_within_one_task(gateway: Caller) -> None:
    pages = [await pool(gateway, page) for page in (1, 2, 3, 4)]
    rows = [row for page in pages for row in page]
    assert pages[-1] == []
    assert len(set(ids_of(rows))) == len(rows) == rows[0]["offerPoolTotal"]
    page = await gateway.offers(keyword="杯子1000", filter="1688Selection")
    assert page["totalRecords"] == len(rows)
    assert await pool(gateway, 2, taskId="other") != pages[1]
    assert {row["bizCategoryId"] for row in await pool(gateway, 1, cateId=71)} == leaves_of(71)
    ordered = await pool(gateway, 1, sortField="buyer1m", sortType="ASC")
    assert ids_of(ordered) == ids_of(await pool(gateway, 1, sortField="buyer1m", sortType="ASC"))


@pytest.mark.parametrize(
    ("api", "name", "fields", "message"),
    [
        (TOP, "rankQueryParams", {"rankId": "5"}, "类目不存在"),
        (TOP, "rankQueryParams", {"limit": 21}, "the page is too large: limit"),
        (KEYWORDS, "topSeKeywordParam", {"sourceId": "5"}, "类目不存在"),
        (POOL, "offerPoolQueryParam", {"offerPoolId": 5}, "商品池不存在"),
        (POOL, "offerPoolQueryParam", {"pageSize": 1001}, "the page is too large: pageSize"),
        (SELLER, "offerQueryParam", {"pageSize": 51}, "the page is too large: pageSize"),
        (IMAGE, "offerQueryParam", {"pageSize": 51}, "the page is too large: pageSize"),
    ],
)
async def test_refusals(
    gateway: Caller, api: str, name: str, fields: dict[str, Any], message: str
) -> None:
    usual = {
        TOP: {"rankId": "71", "rankType": "hot", "limit": 5, "language": "en"},
        KEYWORDS: {"country": "en", "sourceId": "71", "hotKeywordType": "cate"},
        POOL: {"offerPoolId": POOL_ID, "taskId": "t", "pageNo": 1, "pageSize": 20},
        SELLER: {"sellerOpenId": "x", "country": "en"},
        IMAGE: {"imageAddress": "x", "country": "en"},
    }
    answer = await gateway.param2(api, **{name: usual[api] | fields})
    assert answer.json["result"]["success"] is False
    assert answer.json["result"]["message"] == message


@pytest.mark.parametrize(
    ("api", "name", "needed"),
    [
        (UPLOAD, "uploadImageParam", ["imageBase64"]),
        (SELLER, "offerQueryParam", ["sellerOpenId", "country"]),
        (IMAGE, "offerQueryParam", ["imageId", "country"]),
        (RECOMMEND, "recommendOfferParam", ["beginPage", "pageSize", "country", "outMemberId"]),
        (RELATED, "relatedQueryParams", ["offerId", "pageNo", "pageSize", "language"]),
        (TOP, "rankQueryParams", ["rankId", "rankType", "limit", "language"]),
        (KEYWORDS, "topSeKeywordParam", ["country", "sourceId", "hotKeywordType"]),
        (POOL, "offerPoolQueryParam", ["offerPoolId", "taskId", "pageNo", "pageSize"]),
    ],
)
async def test_parameters_that_are_required(
    gateway: Caller, api: str, name: str, needed: list[str]
) -> None:
    assert (await gateway.param2(api)).code == "gw.ParamMissing"
    whole: dict[str, Any] = dict.fromkeys(needed, "1")
    for missing in needed:
        fields = {key: value for key, value in whole.items() if key != missing}
        answer = await gateway.param2(api, **{name: fields})
        assert answer.code == "gw.ParamMissing", missing
