"""The APIs for one product: its details, its history, its freight, and the relation to it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from ali1688_spider.sandbox.apis import Api, Parameters, Query, json_object, number, required
from ali1688_spider.sandbox.platform_errors import RefusedError, require
from ali1688_spider.sandbox.sandbox_product import SandboxProduct
from ali1688_spider.sandbox.shapes import CHINA, Json, trends
from ali1688_spider.sandbox.shapes.offers import offer
from ali1688_spider.sandbox.shapes.product_info import (
    fenxiao_product,
    full_product,
)

if TYPE_CHECKING:
    from ali1688_spider.sandbox.products import Goods

Shape = Callable[[SandboxProduct], Json]

_DAYS_BACK, _MOST_DAYS = 90, 31


def product_by(name: str, shape: Shape) -> Api:
    """Return the API that tells a product by the parameter *name*."""

    def read(params: Parameters) -> Query:
        text = required(params, name)
        return _query(_tell, text, shape)

    return read


def product_of_site(shape: Shape) -> Api:
    """Return the API that tells a product of one of the platform's two sites."""
    by_id = product_by("productID", shape)

    def read(params: Parameters) -> Query:
        query = by_id(params)
        site = required(params, "webSite")
        require(site in ("1688", "alibaba"), "invalid-parameter", parameter="webSite")
        return query

    return read


def _query(ask: Callable[..., Json], text: str, *arguments: object, changes: bool = False) -> Query:
    product_id = number(text, 0)
    return Query(ask, (product_id, text, *arguments), product_id, changes=changes)


def _existing(goods: Goods, product_id: int, text: str) -> SandboxProduct:
    require(goods.exists(product_id), "not-found", f"商品[{text}]不存在")
    return goods.product(product_id)


def _tell(goods: Goods, product_id: int, text: str, shape: Shape) -> Json:
    return shape(_existing(goods, product_id, text))


def cross_product(params: Parameters) -> Query:
    """Read a call of ``alibaba.cross.productInfo``, for which the app needs a relation."""
    return _query(_tell_related, required(params, "productId"))


def _tell_related(goods: Goods, product_id: int, text: str) -> Json:
    product = _existing(goods, product_id, text)
    require_relation(goods, product_id)
    return full_product(product)


def require_relation(goods: Goods, product_id: int) -> None:
    """Raise one of the two refusals of a product without relation; the product decides which."""
    name = "no-relation-sp0056" if product_id % 2 else "no-relation"
    require(goods.inventory.is_related(product_id), name)


def offer_detail(params: Parameters) -> Query:
    """Read a call of ``product.search.queryProductDetail``."""
    fields = json_object(params, "offerDetailParam", "offerId", "country")
    country, currency = str(fields["country"]), str(fields.get("currency") or "")
    return _query(_tell_offer, str(fields["offerId"]), country, currency)


def _tell_offer(goods: Goods, product_id: int, text: str, country: str, currency: str) -> Json:
    product = _existing(goods, product_id, text)
    return offer(product, country, currency, curated=goods.is_curated(product_id))


def fenxiao(params: Parameters) -> Query:
    """Read a call of ``alibaba.fenxiao.productInfo.get``: by ``offerId`` or ``openOfferId``.

    An open id is here the id in base64; on the platform it is encrypted.
    """
    text = params.get("offerId") or _opened(params.get("openOfferId", ""))
    require(text, "missing-parameter", parameter="offerId")
    return _query(_tell, text, fenxiao_product)


def _opened(open_id: str) -> str:
    try:
        return base64.b64decode(open_id, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return open_id


def follow(params: Parameters, *, related: bool) -> Query:
    """Read a call of ``follow.crossborder``, or of ``unfollow.crossborder``."""
    return _query(_follow, required(params, "productId"), related, changes=True)


def _follow(goods: Goods, product_id: int, __: str, related: bool) -> Json:  # noqa: FBT001
    require(goods.exists(product_id), "follow-refused")
    goods.inventory.follow(product_id, followed=related)
    return {"code": 0, "message": "success"}


def add_relation(params: Parameters) -> Query:
    """Read a call of ``product.kjdistribute.addRelation``."""
    return _query(_relate, required(params, "offerId"), changes=True)


def _relate(goods: Goods, product_id: int, __: str) -> Json:
    require(goods.exists(product_id), "relation-refused")
    goods.inventory.follow(product_id)
    return {"result": {"success": True, "msg": "success", "traceId": f"{product_id:x}"}}


def trend(kind: trends.Kind, parameter: str) -> Api:
    """Return an API of ``product.analyze``; the *parameter* of one of them is misspelled."""
    return partial(_trend, kind, parameter)


def _trend(kind: trends.Kind, parameter: str, params: Parameters) -> Query:
    fields = json_object(params, parameter, "offerId", "startDate", "endDate")
    start, end = (_date(str(fields[day]), f"{parameter}.{day}") for day in ("startDate", "endDate"))
    days = (end - start).days + 1
    require(0 < days <= _MOST_DAYS, "trend-range")
    dates = tuple(start + timedelta(days=day) for day in range(days))
    return _query(_tell_trend, str(fields["offerId"]), kind, dates)


def _date(text: str, name: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=CHINA)
    except ValueError as error:
        raise RefusedError("invalid-parameter", parameter=name) from error


def _tell_trend(
    goods: Goods, product_id: int, text: str, kind: trends.Kind, days: tuple[datetime, ...]
) -> Json:
    product = _existing(goods, product_id, text)
    today = datetime.fromtimestamp(goods.inventory.now(), CHINA)
    earliest = today - timedelta(days=_DAYS_BACK + 1)
    require(days[0] >= earliest, "trend-range", "the dates are too long ago")
    return trends.trend(product, kind, days)


def freight(params: Parameters) -> Query:
    """Read a call of ``product.freight.estimate``; a product that is not for sale is refused."""
    name = "productFreightQueryParamsNew"
    needed = ("toProvinceCode", "toCityCode", "toCountryCode", "logisticsSkuNumModels")
    fields = json_object(params, name, "offerId", "totalNum", *needed)
    count = number(fields["totalNum"], 0)
    require(count, "invalid-parameter", parameter=f"{name}.totalNum")
    return _query(_tell_freight, str(fields["offerId"]), count)


def _tell_freight(goods: Goods, product_id: int, text: str, count: int) -> Json:
    product = _existing(goods, product_id, text)
    require(product.status == "published", "not-published")
    return trends.freight(product, count)
