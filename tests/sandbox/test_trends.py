"""A product's history before its first crawl, and its freight."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.sandbox.shapes import CHINA
from tests.sandbox.caller import CROSS_BORDER, FIRST

if TYPE_CHECKING:
    from tests.sandbox.caller import Answer, Caller

SOLD = f"{CROSS_BORDER}:product.analyze.getPerdaySellQuantityTrendNew-1"
PRICE = f"{CROSS_BORDER}:product.analyze.getThirtyDayMedianPriceTrendNew-1"
REPURCHASE = f"{CROSS_BORDER}:product.analyze.getRepurchaseRateTrendNew-1"
NAMES = {SOLD: "tendQueryParam", PRICE: "trendQueryParam", REPURCHASE: "trendQueryParam"}
FREIGHT = f"{CROSS_BORDER}:product.freight.estimate-1"
DESTINATION = {
    "toProvinceCode": "330000",
    "toCityCode": "330100",
    "toCountryCode": "330108",
    "logisticsSkuNumModels": [{"skuId": "1", "number": 2}],
}


def day(days_ago: int) -> str:
    now = datetime.fromtimestamp(time.time(), CHINA)
    return f"{now - timedelta(days=days_ago):%Y%m%d}"


async def trend(gateway: Caller, api: str, first: int, last: int, **more: Any) -> Answer:
    query = {"offerId": FIRST, "startDate": day(first), "endDate": day(last)} | more
    return await gateway.param2(api, **{NAMES[api]: query})


@pytest.mark.parametrize("api", [SOLD, PRICE, REPURCHASE])
async def test_a_value_for_each_day_as_text(gateway: Caller, api: str) -> None:
    values = []
    for first in (89, 59, 30):
        answer = (await trend(gateway, api, first, first - 29)).json["result"]
        assert (answer["success"], answer["retCode"]) == (True, "200")
        rows = answer["result"]
        assert [row["date"] for row in rows] == [day(first - index) for index in range(30)]
        values += [row["value"] for row in rows]
    assert "" in values
    assert all(re.fullmatch(r"(\d+(\.\d+)?)?", value) for value in values)


async def test_the_parameter_of_one_of_them_is_misspelled(gateway: Caller) -> None:
    query = {"offerId": FIRST, "startDate": day(3), "endDate": day(1)}
    assert (await gateway.param2(SOLD, trendQueryParam=query)).code == "gw.ParamMissing"
    assert (await gateway.param2(PRICE, tendQueryParam=query)).code == "gw.ParamMissing"


@pytest.mark.parametrize(("first", "last"), [(40, 1), (1, 3), (100, 80)])
async def test_a_month_at_most_and_ninety_days_back(gateway: Caller, first: int, last: int) -> None:
    answer = (await trend(gateway, SOLD, first, last)).json["result"]
    assert answer["success"] is False
    assert answer["retCode"] == "400"
    assert "the dates are too" in answer["retMsg"]


@pytest.mark.parametrize("date", ["2026-01-01", "20261301", "soon"])
async def test_wrong_dates(gateway: Caller, date: str) -> None:
    assert (await trend(gateway, SOLD, 3, 1, startDate=date)).code == "gw.ParamMissing"


async def freight(gateway: Caller, number: int, count: int) -> dict[str, Any]:
    query = DESTINATION | {"offerId": FIRST - 1 + number, "totalNum": count}
    answer = await gateway.param2(FREIGHT, productFreightQueryParamsNew=query)
    result: dict[str, Any] = answer.json["result"]
    return result


async def test_freight_follows_the_weight(gateway: Caller) -> None:
    one, many = [(await freight(gateway, 2, count))["result"] for count in (1, 20)]
    assert float(one["freight"]) < float(many["freight"])
    assert one["singleProductWeight"] == many["singleProductWeight"] > 0
    assert (await freight(gateway, 5, 1))["result"]["freePostage"] is True


async def test_what_is_not_published_cannot_be_bought(gateway: Caller) -> None:
    refused = await freight(gateway, 13, 1)
    assert refused == {
        "success": False,
        "code": "500",
        "message": "offer status is not published",
    }
    await gateway.control(f"products/{FIRST + 12}", {"status": "published"})
    assert (await freight(gateway, 13, 1))["success"] is True


async def test_freight_needs_its_parameters(gateway: Caller) -> None:
    for missing in (*DESTINATION, "offerId", "totalNum"):
        query = {**DESTINATION, "offerId": FIRST, "totalNum": 1}
        del query[missing]
        answer = await gateway.param2(FREIGHT, productFreightQueryParamsNew=query)
        assert answer.code == "gw.ParamMissing"
