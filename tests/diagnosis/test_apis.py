"""What ``scrapy doctor`` says of the catalogue: which APIs are open, and which settings to use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ali1688_spider.diagnosis.gateway import gateway_findings
from ali1688_spider.gateway.catalogue import product_apis, search_apis
from ali1688_spider.gateway.client import Client
from ali1688_spider.gateway.protocols import WireResponse

if TYPE_CHECKING:
    from ali1688_spider.gateway.protocols import WireCall

CROSS_BORDER = "com.alibaba.fenxiao.crossborder"
DETAIL = f"{CROSS_BORDER}:product.search.queryProductDetail-1"
KEYWORD = f"{CROSS_BORDER}:product.search.keywordQuery-1"
PRODUCT_GET = "com.alibaba.product:alibaba.product.get-1"
OWN = "com.alibaba.product:alibaba.product.list.get-1"
CROSS = "com.alibaba.product:alibaba.cross.productInfo-1"
DROPSHIP = "com.alibaba.fenxiao:alibaba.fenxiao.productInfo.get-1"
ALL = [api.name for api in (*product_apis("param2"), *search_apis("param2"))]


class Gateway:
    """Answers calls without parameters as the platform does; counts them."""

    def __init__(self, opened: set[str], answer: dict[str, Any] | None = None) -> None:
        self.opened = opened
        self.answer = answer or {"error_code": "gw.ParamMissing", "error_message": "missing"}
        self.calls: list[str] = []

    async def send(self, call: WireCall) -> WireResponse:
        version, namespace, name = call.url.split("/param2/")[1].split("/")[:3]
        api = f"{namespace}:{name}-{version}"
        self.calls.append(api)
        if api.startswith("system:"):
            return WireResponse(200, {}, b'"20261010164552223+0800"')
        closed = {"error_code": "gw.APIACLDecline", "error_message": "not ordered"}
        body = self.answer if api in self.opened else closed
        return WireResponse(400, {}, json.dumps(body).encode())

    def said(self, **options: str) -> dict[str, str]:
        client = Client(
            app_key="1", app_secret="s", protocol="param2", transport=self.send, **options
        )
        findings = gateway_findings(client)
        return {each.subject: f"{each.status}: {each.text}" for each in findings}


def test_every_api_is_asked_once_and_the_usual_ones_are_proposed() -> None:
    gateway = Gateway({*ALL})
    said = gateway.said()
    assert sorted(gateway.calls) == sorted([*ALL, "system:currentTime-1"])
    assert said[f"API {DETAIL}"] == said[f"API {KEYWORD}"] == "ok: may be used"
    assert said["For products"] == f"ok: ALI1688_PRODUCT_API={DETAIL}"
    assert said["For searches"] == f"ok: ALI1688_SEARCH_API={KEYWORD}"
    assert set(said["Other open APIs"][4:].split(", ")) == {*ALL} - {DETAIL, KEYWORD}
    assert "Other closed APIs" not in said


def test_a_closed_api_is_named_beside_what_is_open_instead() -> None:
    said = Gateway({CROSS, DROPSHIP, OWN}).said()
    assert said[f"API {DETAIL}"].startswith("fail: may not be used (gw.APIACLDecline")
    assert said["For products"] == f"ok: ALI1688_PRODUCT_API={DROPSHIP}"  # shows every product
    assert said["For searches"] == f"ok: ALI1688_SEARCH_API={OWN}"
    assert said["Other open APIs"] == f"ok: {CROSS}, {DROPSHIP}, {OWN}"
    assert PRODUCT_GET in said["Other closed APIs"]


def test_what_is_chosen_and_open_stays_chosen() -> None:
    said = Gateway({*ALL}).said(product_api=CROSS)
    assert said["For products"] == f"ok: ALI1688_PRODUCT_API={CROSS}"


def test_without_an_open_api_nothing_is_proposed() -> None:
    said = Gateway(set()).said()
    assert not {"For products", "For searches", "Other open APIs"} & said.keys()


def test_without_a_token_nothing_is_known_of_permissions() -> None:
    gateway = Gateway(
        {*ALL}, {"error_code": "401", "error_message": "Request need user authorized"}
    )
    said = gateway.said()
    assert said["Access token"].startswith("fail: is missing (401")
    assert len(gateway.calls) == 3
    assert "For products" not in said


def test_an_api_that_looks_at_the_missing_product_is_open() -> None:
    refusal = {"result": {"success": False, "code": "500", "message": "没有该商品的查询权限"}}
    said = Gateway({DETAIL, KEYWORD}, refusal).said()
    assert said[f"API {DETAIL}"] == said[f"API {KEYWORD}"] == "ok: may be used"
