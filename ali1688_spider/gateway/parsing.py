"""Reads the data of responses, by the families of APIs: productInfo, router and cross-border.

Reading a product gives the fields of the product record that are set in the data, as a dict, and an
empty one when there is no product in it. Reading a search gives a :class:`SearchPage`, or raises
UnreadableResponseError when there is none.

* What is not set is no key, so that a row of a search erases nothing in a store.
* The reading is as lenient as the platform: numbers may be strings, names have variants.
* No value is judged. An impossible one passes through as it came, and validation refuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway import fields
from ali1688_spider.gateway.errors import UnreadableResponseError

if TYPE_CHECKING:
    from ali1688_spider.gateway.fields import Fields


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a search; past the end its rows are empty.

    Attributes:
        total: How many products the search finds; None if unknown.
        page: Number of the page, from 1; None if unknown.
        page_size: How many rows a full page has; None if unknown.
        rows: The fields that each row sets.
        payloads: Each row as it came, in the order of ``rows``.
    """

    total: int | None
    page: int | None
    page_size: int | None
    rows: list[Fields]
    payloads: list[Any]

    @classmethod
    def read(
        cls, page: dict[str, Any], rows: Any, read_row: Callable[[dict[str, Any]], Fields]
    ) -> SearchPage:
        """Return the page whose totals are in *page*, by any of the names that the APIs have."""
        total = _number(page, "totalCount", "totalRecords")
        payloads = fields.listed(rows)
        if not isinstance(payloads, list) or (rows is None and total is None):
            raise UnreadableResponseError("no search page in the response")
        return cls(
            total=total,
            page=_number(page, "pageNo", "currentPage"),
            page_size=_number(page, "pageSize"),
            rows=[read_row(row) if isinstance(row, dict) else {} for row in payloads],
            payloads=payloads,
        )


def _number(page: dict[str, Any], *names: str) -> int | None:
    number = fields.count(fields.first(page, *names))
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def parse_product_info(data: Any) -> Fields:
    """Return the fields of ``{"productInfo": {…}}``, which may stand in a ``result``."""
    product = fields.section(data, "productInfo")
    return _read_product_info(product or fields.section(data, "result", "productInfo"))


def parse_own_products(data: Any) -> SearchPage:
    """Return the page ``result.pageResult{totalRecords, resultList[]}`` of ``productInfo``s."""
    page = fields.section(data, "result", "pageResult")
    return SearchPage.read(page, page.get("resultList"), _read_product_info)


def _read_product_info(product: dict[str, Any]) -> Fields:
    sale = fields.section(product, "saleInfo")
    skus = fields.read_skus(product.get("skuInfos"))
    supply = sale.get("supplyAmount", product.get("supplyAmount"))
    stocks = (
        fields.count(sale.get("amountOnSale")),
        fields.total_stock(skus),
        fields.count(supply),
    )
    record = fields.set_fields(
        product_id=fields.count(fields.first(product, "productID", "productId")),
        name=product.get("subject"),
        stock=next((stock for stock in stocks if stock is not None), None),
        unit=fields.text(sale.get("unit")),
        min_order_quantity=fields.count(sale.get("minOrderQuantity")),
        skus=skus,
        attributes=fields.read_attributes(product.get("attributes")),
        images=fields.image_urls(fields.section(product, "image").get("images")),
        category_id=fields.count(fields.first(product, "categoryID", "categoryId")),
        category_name=fields.text(product.get("categoryName")),
        supplier=fields.text(fields.first(product, "supplierLoginId", "sellerLoginId")),
        status=fields.text(product.get("status")),
    )
    tiers = fields.read_tiers(sale.get("priceRanges"))
    quoted = fields.quoted_prices(sale.get("quoteType"), tiers, skus)
    if not quoted and product.get("referencePrice") is not None:
        low, high = fields.read_range(product["referencePrice"])
        quoted = {"price": low, "price_max": high}
    record |= quoted
    if "priceAuth" in sale:
        record["price_private"] = fields.is_true(sale["priceAuth"])
    return fields.without_prices(record) if record.get("price_private") else record


def parse_router_product(data: Any) -> Fields:
    """Return the fields of ``{"result": {"product": {…}}}`` (``router`` and ``top``).

    The product has names of its own for its title, price and stock; what else is set has the names
    of ``productInfo``. In ``top`` the ``result`` around it may be missing.
    """
    return _read_router_product(fields.section(_router_result(data), "product"), is_row=False)


def parse_router_search(data: Any) -> SearchPage:
    """Return the page ``result{totalCount, pageNo, pageSize, products[]}``; likewise."""
    page = _router_result(data)
    return SearchPage.read(page, page.get("products"), partial(_read_router_product, is_row=True))


def _router_result(data: Any) -> dict[str, Any]:
    return fields.section(data, "result") or fields.section(data)


def _read_router_product(product: dict[str, Any], *, is_row: bool) -> Fields:
    name, stock = product.get("productName"), fields.count(product.get("quantity"))
    record = _read_product_info(product) | fields.set_fields(name=name, stock=stock)
    if record.get("price_private"):
        return record
    low, high = fields.read_range(product.get("price"))
    # The one price of a row says nothing of the highest.
    return record | fields.set_fields(price=low, price_max=None if is_row else high)


def parse_product_detail(data: Any) -> Fields:
    """Return the fields of ``queryProductDetail``'s ``{"result": {"result": {…}}}``."""
    product = fields.section(data, "result", "result")
    sale = fields.section(product, "productSaleInfo")
    skus = fields.read_skus(product.get("productSkuInfos"))
    stock = fields.count(sale.get("amountOnSale"))
    if fields.is_true(product.get("soldOut")):  # as a number, it counts the pieces sold so far
        stock = 0
    record = fields.set_fields(
        product_id=fields.count(product.get("offerId")),
        name=fields.first(product, "subject", "subjectTrans"),
        stock=fields.total_stock(skus) if stock is None else stock,
        unit=fields.text(fields.section(sale, "unitInfo").get("unit")),
        min_order_quantity=fields.count(product.get("minOrderQuantity")),
        skus=skus,
        attributes=fields.read_attributes(product.get("productAttribute")),
        images=fields.image_urls(fields.section(product, "productImage").get("images")),
        category_id=fields.count(product.get("categoryId")),
        category_name=fields.text(product.get("categoryName")),
        supplier=fields.text(fields.first(product, "companyName", "sellerOpenId")),
        status=fields.text(product.get("status")),
    )
    tiers = fields.read_tiers(sale.get("priceRangeList"))
    return record | fields.quoted_prices(sale.get("quoteType"), tiers, skus)


def parse_keyword_query(data: Any) -> SearchPage:
    """Return ``keywordQuery``'s ``result.result{totalRecords, currentPage, pageSize, data[]}``."""
    page = fields.section(data, "result", "result")
    return SearchPage.read(page, page.get("data"), _read_found_product)


def _read_found_product(row: dict[str, Any]) -> Fields:
    # The one image of a row is left out: as ``images`` it would replace all of the product's.
    price, _ = fields.read_range(fields.unit_price(fields.section(row, "priceInfo") or row))
    return fields.set_fields(
        product_id=fields.count(row.get("offerId")),
        name=fields.first(row, "subject", "subjectTrans"),
        price=price,
    )
