"""Calls a sandbox as a client would."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.admission import param2_signature, router_signature, top_signature
from ali1688_spider.sandbox.shapes import CHINA

if TYPE_CHECKING:
    import aiohttp

    from ali1688_spider.sandbox.server import Sandbox

FIRST = 610_000_000_001
KEY, SECRET = "1000000", "test123"
PRODUCT = "com.alibaba.product:alibaba.product.get-1"
SIMPLE = "com.alibaba.product:alibaba.product.simple.get-1"
CROSS = "com.alibaba.product:alibaba.cross.productInfo-1"
OFFER = "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1"
OFFERS = "com.alibaba.fenxiao.crossborder:product.search.keywordQuery-1"
OWN = "com.alibaba.product:alibaba.product.list.get-1"
OWN_BY_ID = "com.alibaba.product:alibaba.product.getByIdList-1"
CROSS_LIST = "com.alibaba.product:alibaba.cross.productList-1"
FENXIAO = "com.alibaba.fenxiao:alibaba.fenxiao.productInfo.get-1"
CURATED = "com.alibaba.fenxiao:alibaba.pifatuan.product.detail.list-1"
CROSS_BORDER = "com.alibaba.fenxiao.crossborder"
TIME = "system:currentTime-1"
TOKEN = "system.oauth2:getToken-1"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        """The code of an error of either family; None of data."""
        error = self.json.get("error_response", {})
        return error.get("code", self.json.get("error_code"))


def router_params(method: str | None, *, skew: float = 0, **params: str | None) -> dict[str, str]:
    """The parameters without a signature; None leaves one out."""
    usual: dict[str, str | None] = {
        "method": method,
        "app_key": KEY,
        "timestamp": f"{datetime.fromtimestamp(time.time() + skew, CHINA):%Y-%m-%d %H:%M:%S}",
        "format": "json",
    }
    return {name: value for name, value in (usual | params).items() if value is not None}


def param2_path(api: str, key: str = KEY, protocol: str = "param2") -> str:
    namespace, _, rest = api.partition(":")
    name, _, version = rest.rpartition("-")
    return f"{protocol}/{version}/{namespace}/{name}/{key}"


class Caller:
    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self._session = session

    async def send(self, method: str, path: str, **keywords: Any) -> Answer:
        url = self.sandbox.url + path
        async with self._session.request(
            method, url, allow_redirects=False, **keywords
        ) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def router(
        self, name: str | None, *, http: str = "POST", sign: str | None = "right", **params: Any
    ) -> Answer:
        sent = router_params(name, **params)
        if sign is not None:
            sent["sign"] = router_signature(sent, SECRET) if sign == "right" else sign
        place = "params" if http == "GET" else "data"
        return await self.send(http, "/router/json", **{place: sent})

    async def top(
        self, name: str | None, *, http: str = "POST", sign: str | None = "right", **params: Any
    ) -> Answer:
        sent = router_params(name, **({"v": "2.0", "sign_method": "md5"} | params))
        if sign is not None:
            known = sent.get("sign_method") in ("md5", "hmac", "hmac-sha256")
            right = top_signature(sent, SECRET) if known else "unknown"
            sent["sign"] = right if sign == "right" else sign
        place = "params" if http == "GET" else "data"
        return await self.send(http, "/router/rest", **{place: sent})

    async def param2(
        self,
        api: str,
        *,
        http: str = "POST",
        sign: str | None = "right",
        path: str | None = None,
        **params: Any,
    ) -> Answer:
        path = path or param2_path(api)
        sent = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in params.items()
        }
        if sign is not None:
            right = param2_signature(path, sent, SECRET)
            sent["_aop_signature"] = right if sign == "right" else sign
        place = "params" if http == "GET" else "data"
        return await self.send(http, "/openapi/" + path, **{place: sent})

    async def product(self, family: str, number: int = 1) -> Answer:
        """Call for the product of a number in one of the protocols."""
        product_id = str(FIRST - 1 + number)
        if family == "param2":
            return await self.param2(PRODUCT, productID=product_id, webSite="1688")
        call = self.router if family == "router" else self.top
        return await call("alibaba.product.get", product_id=product_id)

    async def offers(self, **fields: Any) -> dict[str, Any]:
        """Search for offers; return the page."""
        answer = await self.param2(OFFERS, offerQueryParam={"country": "en"} | fields)
        page: dict[str, Any] = answer.json["result"]["result"]
        return page

    async def offer(self, number: int, **fields: Any) -> dict[str, Any]:
        """Call for the details of the product of a number; return them."""
        query = {"offerId": FIRST - 1 + number, "country": "en"} | fields
        answer = await self.param2(OFFER, offerDetailParam=query)
        offer: dict[str, Any] = answer.json["result"]["result"]
        return offer

    async def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """Post to a control address and return its answer, which must be a success."""
        answer = await self.send(method, f"/_sandbox/{path}", json=body or {})
        assert answer.status == 200, answer.body
        return answer.json

    async def status(self) -> Any:
        return (await self.send("GET", "/_sandbox/status")).json
