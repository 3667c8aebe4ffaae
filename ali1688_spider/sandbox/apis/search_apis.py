"""The searches: by keyword and category, by a seller, by a picture.

A search tells of 2000 rows and shows no more of them, its pages hold 50 at most, and its sort holds
within one page only. A page that is missing, misnamed or no number is the first one; one past the
end is empty. All this is the platform's behaviour.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

from ali1688_spider.sandbox import drawn_pictures
from ali1688_spider.sandbox.apis import (
    PAGE_SIZE,
    PagePart,
    Parameters,
    Query,
    amount,
    json_object,
    number,
    page_of,
    parsed,
    required,
)
from ali1688_spider.sandbox.category_tree import CATEGORIES
from ali1688_spider.sandbox.platform_errors import RefusedError, require
from ali1688_spider.sandbox.product_facts import FIRST_ID, SandboxSales
from ali1688_spider.sandbox.products import FILTER_NAMES, SALES, Criteria, Goods
from ali1688_spider.sandbox.shapes import Json, envelope, router_page
from ali1688_spider.sandbox.shapes.offer_rows import (
    WINDOW,
    image_row,
    offer_page,
    offer_row,
    seller_row,
    similar_page,
)

RowShape = Callable[..., Json]
Sort = tuple[str, bool]  # a key, and whether it descends


class Paging(NamedTuple):
    """Which rows of a search are shown, and how."""

    at: PagePart
    sort: Sort | None
    country: str


_MAX_PAGE, _MAX_ROUTER_PAGE, _MAX_SIMILAR_PAGE = 50, 100, 20
_SORT_KEYS = ("price", "rePurchaseRate", "monthSold")
_REGION = {"currentRegion": "0,15,0,15", "yoloCropRegion": "0,15,0,15;2,13,2,13"}


def router_search(params: Parameters) -> Query:
    """Read a call of ``alibaba.product.search`` of ``router`` and ``top``."""
    criteria = Criteria(required(params, "keyword"))
    at = page_of(params, "page_no", "page_size", _MAX_ROUTER_PAGE)
    return Query(_router_page, (criteria, at))


def _router_page(goods: Goods, criteria: Criteria, at: PagePart) -> Json:
    found = goods.find(criteria)
    ids = at.of(found)
    return router_page([goods.product(id_) for id_ in ids], len(found), *at)


def keyword_query(params: Parameters) -> Query:
    """Read a call of ``product.search.keywordQuery``: a keyword or a category is required."""
    name = "offerQueryParam"
    fields = json_object(params, name, "country")
    criteria = _criteria(fields)
    wanted = criteria.keyword or criteria.category_id is not None or criteria.category_ids
    require(wanted, "missing-parameter", parameter=f"{name}.keyword")
    return Query(_tell_page, (criteria, _paging(fields), offer_row))


def seller_offers(params: Parameters) -> Query:
    """Read a call of ``product.search.querySellerOfferList``."""
    fields = json_object(params, "offerQueryParam", "sellerOpenId", "country")
    criteria = replace(_criteria(fields), seller=str(fields["sellerOpenId"]))
    return Query(_tell_page, (criteria, _paging(fields), seller_row))


def image_query(params: Parameters) -> Query:
    """Read a call of ``product.search.imageQuery``: by an imageId or a picture of the platform."""
    name = "offerQueryParam"
    fields = json_object(params, name, "country")
    image_id, address = (str(fields.get(key) or "") for key in ("imageId", "imageAddress"))
    require(image_id or address, "missing-parameter", parameter=f"{name}.imageId")
    require(not image_id or drawn_pictures.is_image_id(image_id), "no-image")
    arguments = (_criteria(fields), _paging(fields), image_id, address)
    return Query(_tell_image_page, arguments)


def image_upload(params: Parameters) -> Query:
    """Read a call of ``product.image.upload``; its answer is ``"0"`` for what is no fit picture."""
    fields = json_object(params, "uploadImageParam", "imageBase64")
    return Query(_tell_image_id, (drawn_pictures.image_id_of(str(fields["imageBase64"])),))


def _tell_image_id(_: Goods, image_id: str) -> Json:
    return envelope(image_id, as_text=True)


def similar_offers(params: Parameters) -> Query:
    """Read a call of ``alibaba.cross.similar.offer.search``, by a picture on the web."""
    address = required(params, "picUrl")
    require(address.startswith("https://"), "invalid-parameter", parameter="picUrl")
    required(params, "page")
    return Query(_tell_similar, (address, page_of(params, "page", "pageSize", _MAX_SIMILAR_PAGE)))


def _tell_similar(goods: Goods, address: str, at: PagePart) -> Json:
    found = _alike(goods, Criteria(), "", address)[:WINDOW]
    ids = at.of(found)
    return similar_page([goods.product(id_) for id_ in ids], len(found), *at)


def _criteria(fields: Json) -> Criteria:
    """Return what the fields that the searches have in common ask for."""
    category = fields.get("categoryId") or None
    listed = str(fields.get("categoryIdList") or "")
    filters = tuple(filter(None, map(str.strip, str(fields.get("filter") or "").split(","))))
    for name in filters:
        require(name in FILTER_NAMES, "general-400", f"there is no filter {name}")
    return Criteria(
        keyword=str(fields.get("keyword") or ""),
        category_id=category and number(category, -1),
        price_start=amount(fields, "priceStart"),
        price_end=amount(fields, "priceEnd"),
        category_ids=tuple(number(part.strip(), -1) for part in listed.split(",") if part.strip()),
        filters=filters,
        sales=tuple(map(_sales, _objects(fields, "saleFilterList"))),
    )


def _objects(fields: Json, name: str) -> list[Json]:
    values = fields.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise RefusedError("invalid-parameter", parameter=name)
    return values


def _sales(fields: Json) -> tuple[str, Decimal | None, Decimal | None]:
    kind = str(fields.get("saleType"))
    require(kind in SALES, "invalid-parameter", parameter="saleFilterList.saleType")
    return kind, amount(fields, "saleStart"), amount(fields, "saleEnd")


def _paging(fields: Json) -> Paging:
    size = number(fields.get("pageSize"), PAGE_SIZE)
    require(size <= _MAX_PAGE, "page-size", parameter="pageSize")
    at = PagePart(number(fields.get("beginPage"), 1), size)
    return Paging(at, _sort(fields.get("sort")), str(fields["country"]))


def _sort(value: Any) -> Sort | None:
    """Return key and direction of ``{"price": "asc"}``, an object or its text; None if unknown."""
    order = parsed(value) if isinstance(value, str) else value
    for key, direction in order.items() if isinstance(order, dict) else ():
        if key in _SORT_KEYS and direction in ("asc", "desc"):
            return key, direction == "desc"
    return None


def _tell_page(goods: Goods, criteria: Criteria, paging: Paging, shape: RowShape) -> Json:
    return envelope(_page(goods, goods.find(criteria), paging, shape))


def _tell_image_page(
    goods: Goods,
    criteria: Criteria,
    paging: Paging,
    image_id: str,
    address: str,
) -> Json:
    found = _alike(goods, criteria, image_id, address)
    told = _page(goods, found, paging, image_row)
    return envelope(told | {"picRegionInfo": _REGION}, as_text=True)


def _page(goods: Goods, found: tuple[int, ...], paging: Paging, shape: RowShape) -> Json:
    at, sort, country = paging
    ids = list(at.of(found[:WINDOW]))
    if sort:
        key, descending = sort
        ids.sort(key=partial(_sort_value, goods, key), reverse=descending)
    rows = [shape(goods.product(id_), country, curated=goods.is_curated(id_)) for id_ in ids]
    return offer_page(rows, len(found), *at)


def _sort_value(goods: Goods, key: str, product_id: int) -> tuple[bool, Any]:
    if key == "price":
        price = goods.price(product_id)
        return price is None, price or 0
    sales = SandboxSales(product_id - FIRST_ID + 1)
    return False, sales.repurchase if key == "rePurchaseRate" else sales.days30


def _alike(goods: Goods, criteria: Criteria, image_id: str, address: str) -> tuple[int, ...]:
    """Return what looks like a picture: its product first, then others of the category."""
    product_id = (
        drawn_pictures.product_of(image_id) if image_id else drawn_pictures.product_at(address)
    )
    if product_id is None and not image_id:
        product_id = goods.inventory.of_image(address)
    if product_id is None or not goods.exists(product_id):
        leaf = CATEGORIES[zlib.crc32((image_id or address).encode()) % len(CATEGORIES)]
    else:
        leaf = goods.product(product_id).category
    found = goods.find(replace(criteria, category_ids=(leaf.category_id,)))
    first = (product_id,) if product_id in found else ()
    return (*first, *(id_ for id_ in found if id_ != product_id))
