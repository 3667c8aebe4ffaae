from __future__ import annotations

import asyncio
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from ali1688_spider.sandbox.admission import (
    Admission,
    param2_signature,
    router_signature,
    top_signature,
)
from ali1688_spider.sandbox.options import Options
from ali1688_spider.sandbox.platform_errors import RefusedError
from tests.sandbox.caller import PRODUCT, SIMPLE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Caller

FAMILIES = pytest.mark.parametrize("family", ["router", "top", "param2"])
CLOCK = "ali1688_spider.sandbox.admission.time.monotonic"
BAN = re.compile(r"This ban will last for (\d+) more seconds")


def test_the_rate_holds_in_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    admission = Admission(Options(qps=2))
    passed = []
    for moment in (0.0, 0.5, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75):
        monkeypatch.setattr(CLOCK, lambda moment=moment: moment)
        try:
            admission.admit("alibaba.product.get")
        except RefusedError as refused:
            assert refused.name == "rate-limit"  # noqa: PT017  # one of many calls
        else:
            passed.append(moment)
    assert passed == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    ("family", "code"), [("router", 7), ("top", 7), ("param2", "gw.QosAppFrequencyLimit")]
)
async def test_too_many_calls_are_refused_and_counted(
    start: Callable[..., Awaitable[Caller]], family: str, code: object
) -> None:
    gateway = await start(qps=1)
    answers = await asyncio.gather(*(gateway.product(family) for _ in range(20)))
    refused = [answer.code for answer in answers if answer.code is not None]
    assert set(refused) == {code}
    report = await gateway.status()
    assert report["refused_rate"] == report["errors"]["rate-limit"] == len(refused)
    assert report["answered"] == 20 - len(refused)
    assert report["calls"] == 20
    assert 1 <= report["max_calls_per_second"] <= 20


@FAMILIES
async def test_a_ban_lasts_its_seconds(
    start: Callable[..., Awaitable[Caller]], family: str
) -> None:
    gateway = await start(qps=1, ban=300.0)
    await asyncio.gather(*(gateway.product(family) for _ in range(20)))
    await gateway.control("settings", {"qps": 0})
    found = BAN.search((await gateway.product(family)).body.decode())
    assert found
    assert 0 < int(found[1]) <= 300
    await gateway.control("settings", {"clock_skew": 301})
    assert BAN.search((await gateway.product(family)).body.decode()) is None


@pytest.mark.parametrize(
    ("family", "error"),
    [
        ("router", "accesscontrol.limited-by-app-access-count"),
        ("top", "accesscontrol.limited-by-app-access-count"),
        ("param2", "gw.NoUsageLeftError"),
    ],
)
async def test_the_quota_of_a_day_in_china(
    start: Callable[..., Awaitable[Caller]], family: str, error: str
) -> None:
    gateway = await start(daily_quota=2)
    noon = datetime.fromisoformat("2026-10-10T12:00:00+08:00").timestamp() - time.time()
    await gateway.control("settings", {"clock_skew": noon})

    async def body(number: int, skew: float) -> str:
        if family == "param2":
            return (await gateway.product(family, number)).body.decode()
        call = getattr(gateway, family)
        answer = await call(
            "alibaba.product.get", product_id=str(610_000_000_000 + number), skew=skew
        )
        text: str = answer.body.decode()
        return text

    for number in (1, 2):
        assert error not in await body(number, noon)
    refused = await body(3, noon)
    assert error in refused
    left = BAN.search(refused)
    assert left
    assert 43_000 < int(left[1]) <= 43_200
    assert (await gateway.status())["used_today"] == 2
    before_midnight = noon + 43_100
    await gateway.control("settings", {"clock_skew": before_midnight})
    assert error in await body(3, before_midnight)
    after_midnight = noon + 43_300
    await gateway.control("settings", {"clock_skew": after_midnight})
    assert error not in await body(3, after_midnight)
    assert (await gateway.status())["used_today"] == 1


async def test_permissions_by_full_or_bare_name(gateway: Caller) -> None:
    for name in (PRODUCT, "alibaba.product.get"):
        await gateway.control("settings", {"deny": [name]})
        assert (await gateway.product("param2")).code == "gw.APIACLDecline"
        assert (await gateway.param2(SIMPLE)).code == "gw.ParamMissing"
    assert (await gateway.product("router")).code == 11


@FAMILIES
async def test_timestamps_and_date_follow_the_skewed_clock(
    start: Callable[..., Awaitable[Caller]], family: str
) -> None:
    gateway = await start(clock_skew=7200.0)
    moment = {"skew": 7200.0} if family != "param2" else {}
    names = {"router": "alibaba.product.get", "top": "alibaba.product.get", "param2": PRODUCT}
    answer = await getattr(gateway, family)(names[family], **moment)
    date = datetime.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S %Z")  # noqa: DTZ007
    shown = date.timestamp() - datetime.fromtimestamp(0).timestamp()  # noqa: DTZ006
    assert abs(shown - time.time() - 7200) < 600
    assert answer.code in (40, "gw.ParamMissing")
    if family != "param2":
        assert (await gateway.product(family)).code == 31
    else:
        stamp = str(int(time.time() * 1000))
        assert (await gateway.param2(PRODUCT, _aop_timestamp=stamp)).code == "400"


async def test_every_answer_has_a_date(gateway: Caller) -> None:
    assert "GMT" in (await gateway.product("router")).headers["Date"]


async def test_latency_delays_every_answer(
    start: Callable[..., Awaitable[Caller]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    gateway = await start(latency=250.0)
    monkeypatch.setattr("ali1688_spider.sandbox.server.asyncio.sleep", wait)
    await gateway.product("router")
    assert 0.25 in waits


TOKEN = "00000000-1111-2222-3333-444444444444"
TOP_PARAMS = {
    "method": "taobao.item.seller.get",
    "app_key": "12345678",
    "session": "test",
    "timestamp": "2016-01-01 12:00:00",
    "format": "json",
    "v": "2.0",
    "sign_method": "md5",
    "fields": "num_iid,title,nick,price,num",
    "num_iid": "11223344",
}


@pytest.mark.parametrize(
    ("path", "params", "signature"),
    [
        (
            "param2/1/system/currentTime/1000000",
            {"a": "1", "b": "2"},
            "33E54F4F7B989E3E0E912D3FBD2F1A03CA7CCE88",
        ),
        (
            "param2/1/com.alibaba.product/alibaba.product.get/1000000",
            {
                "productID": "584051070147",
                "webSite": "1688",
                "access_token": TOKEN,
                "_aop_timestamp": "1700000000000",
            },
            "C8FA97F89772C2E3A69812A5A32F2E5393A4EA6D",
        ),
        (
            "param2/1/com.alibaba.fenxiao.crossborder/product.search.keywordQuery/1000000",
            {
                "offerQueryParam": (
                    '{"keyword":"手机壳","beginPage":1,"pageSize":20,"country":"en"}'
                ),
                "access_token": TOKEN,
                "_aop_timestamp": "1700000000000",
            },
            "59F5F085B1D25B3F269D31BAEC6EB2271BB29C3C",
        ),
    ],
)
def test_param2(path: str, params: dict[str, str], signature: str) -> None:
    assert param2_signature(path, params, "test123") == signature


def test_param2_ignores_empty_values_and_the_signature_itself() -> None:
    path = "param2/1/system/currentTime/1000000"
    params = {"b": "2", "a": "1", "c": "", "_aop_signature": "X"}
    assert param2_signature(path, params, "test123") == "33E54F4F7B989E3E0E912D3FBD2F1A03CA7CCE88"


def test_param2_sorts_the_joined_pairs() -> None:
    # By name keyword comes first; joined, "keywordTranslate1" < "keywordz".
    expected = param2_signature("p", {"keywordTranslate": "1", "keywordz": ""}, "s")
    assert param2_signature("p", {"keyword": "z", "keywordTranslate": "1"}, "s") == (
        param2_signature("pkeywordTranslate1keywordz", {}, "s")
    )
    assert expected == param2_signature("pkeywordTranslate1", {}, "s")


def test_top_md5() -> None:
    assert top_signature(TOP_PARAMS, "helloworld") == "66987CB115214E59E6EC978214934FB8"


@pytest.mark.parametrize(
    ("method", "length"),
    [("hmac", 32), ("hmac-sha256", 64)],
)
def test_top_hmac_has_the_length_of_its_digest(method: str, length: int) -> None:
    signature = top_signature(TOP_PARAMS | {"sign_method": method}, "helloworld")
    assert len(signature) == length
    assert signature == signature.upper()


def test_top_refuses_another_method() -> None:
    with pytest.raises(RefusedError, match="invalid-parameter"):
        top_signature(TOP_PARAMS | {"sign_method": "sha1"}, "helloworld")


def test_router() -> None:
    assert router_signature(TOP_PARAMS, "helloworld") == "1189E9450CEFF06017BDD4957467A103"
