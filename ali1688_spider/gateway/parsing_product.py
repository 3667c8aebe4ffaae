"""Reads a product, by the families of APIs: productInfo, router and cross-border detail.

``productInfo`` has two sets of names: the seller's and the cross-border APIs say ``saleInfo``, that
of drop-shipping ``productSaleInfo``, and likewise for SKUs, images, shipping and attributes. Both
are read alike, since one read as the other would lose its price, stock and SKUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ali1688_spider.gateway import fields, packages, prices

if TYPE_CHECKING:
    from ali1688_spider.gateway.fields import Fields


def read_product_info(product: dict[str, Any]) -> Fields:
    """Return the fields of a ``productInfo``; of promotions it tells nothing."""
    sale = _sale(product)
    record = _read(product, sale, _read_skus(_raw_skus(product)))
    if "price" not in record and product.get("referencePrice") is not None:
        low, high = prices.read_range(product["referencePrice"])
        record |= {"price": low, "price_max": high}
    return _private_or_not(sale, record)


def read_product_detail(product: dict[str, Any]) -> Fields:
    """Return the fields of what ``queryProductDetail`` shows.

    ``promotion_price`` is always among them: None says that there is no promotion. ``soldOut``
    counts the pieces that were sold, and says nothing of the stock.
    """
    sku_list = _read_skus(_raw_skus(product), has_retail=True)
    sale = _sale(product)
    retail = fields.told_amount(sale.get("retailPrice"))
    record = _read(product, sale, sku_list, retail)
    ranges = prices.variants(fields.listed(_ranges(sale)))
    promotions = [
        *(each.get("promotionPrice") for each in (sale, *ranges)),
        *(sku["promotion_price"] for sku in prices.variants(sku_list)),
    ]
    record["promotion_price"] = prices.lowest(promotions)
    return _private_or_not(sale, record)


def read_router_product(product: dict[str, Any], *, is_row: bool = False) -> Fields:
    """Return the fields of a product of ``router`` and ``top``.

    It has names of its own for its title, price and stock; what else is set has the names of
    ``productInfo``. The one price of a row says nothing of the highest.
    """
    name, stock = product.get("productName"), fields.count(product.get("quantity"))
    record = read_product_info(product) | fields.set_fields(name=name, stock=stock)
    if record.get("price_private"):
        return record
    low, high = prices.read_range(product.get("price"))
    return record | fields.set_fields(price=low, price_max=None if is_row else high)


def read_seller(source: dict[str, Any]) -> Fields:
    """Return who sells, of a product or a row of a search; no encrypted id is a name."""
    login_id = fields.first(source, "supplierLoginId", "sellerLoginId")
    return fields.set_fields(
        supplier=fields.text(fields.first(source, "companyName") or login_id),
        seller_id=fields.told_text(fields.first(source, "sellerOpenId") or login_id),
        seller_scores=fields.told_scores(source.get("sellerDataInfo")),
    )


def read_categories(source: dict[str, Any]) -> Fields:
    """Return the product's category, and its path of ids from the top; the third one is a leaf."""
    category_id = fields.count(fields.first(source, "categoryID", "categoryId"))
    levels = [source.get(f"{level}CategoryId") for level in ("top", "second", "third")]
    leaf = fields.told_ids(levels[-1])
    return fields.set_fields(
        category_id=leaf[0] if category_id is None and leaf else category_id,
        category_path=fields.told_ids(*levels),
    )


def _read(
    product: dict[str, Any], sale: dict[str, Any], sku_list: Any, retail: Any = None
) -> Fields:
    """Return what all families tell, list prices and drop-shipping price included."""
    unit = fields.first(sale, "unit") or fields.section(sale, "unitInfo").get("unit")
    smallest = fields.first(sale, "minOrderQuantity") or product.get("minOrderQuantity")
    attributes = fields.first(product, "attributes", "productAttribute")
    pictures = fields.section_of(product, "image", "productImage")
    record = fields.set_fields(
        product_id=fields.count(fields.first(product, "productID", "productId", "offerId")),
        name=fields.first(product, "subject", "subjectTrans"),
        stock=_stock(product, sale, sku_list),
        unit=fields.text(unit),
        min_order_quantity=fields.count(smallest),
        skus=sku_list,
        attributes=fields.read_attributes(attributes),
        attributes_translated=fields.read_translated(attributes),
        images=fields.image_urls(pictures.get("images")),
        category_name=fields.text(product.get("categoryName")),
        status=fields.text(product.get("status")),
        dropship_price=_dropship_price(product, sale, sku_list),
    )
    record |= _describe(product, sale) | read_seller(product) | read_categories(product)
    shipping = fields.section_of(product, "shippingInfo", "productShippingInfo")
    tiers = prices.read_tiers(_ranges(sale))
    quoted = prices.quoted_prices(sale.get("quoteType"), tiers, sku_list, retail)
    return record | packages.read_package(shipping) | quoted


def _stock(product: dict[str, Any], sale: dict[str, Any], sku_list: Any) -> Any:
    stocks = (
        fields.count(sale.get("amountOnSale")),
        _total_stock(sku_list),
        fields.count(sale.get("supplyAmount", product.get("supplyAmount"))),
    )
    return next((stock for stock in stocks if stock is not None), None)


def _describe(product: dict[str, Any], sale: dict[str, Any]) -> Fields:
    """Return what describes a product, and of which a mistake harms nothing else."""
    batch = fields.first(product, "batchNumber") or sale.get("batchNumber")
    names = ("mainVideo", "detailVideo", "mainVedio", "detailVedio")
    return fields.set_fields(
        name_translated=fields.told_text(product.get("subjectTrans")),
        cargo_number=fields.told_text(fields.first(product, "productCargoNumber", "cargoNumber")),
        batch_number=fields.told_count(batch) or None,
        videos=fields.told_urls(*map(product.get, names)),
        sales_total=fields.told_count(product.get("soldOut")),
        trade_score=fields.told_number(product.get("tradeScore")),
        listed_at=fields.told_moment(fields.first(product, "createDate", "createTime")),
        modified_at=fields.told_moment(fields.first(product, "modifyDate", "lastUpdateTime")),
    )


def _dropship_price(product: dict[str, Any], sale: dict[str, Any], sku_list: Any) -> Any:
    own = prices.dropship_price(product, "fenxiaoSaleInfo", "fenxiaoPriceInfo")
    of_sale = prices.dropship_price(sale, "fenxiaoSaleInfo")
    of_skus = prices.lowest(sku["dropship_price"] for sku in prices.variants(sku_list))
    return own or of_sale or of_skus or fields.told_amount(sale.get("consignPrice"))


def _private_or_not(sale: dict[str, Any], record: Fields) -> Fields:
    if "priceAuth" in sale:
        record["price_private"] = fields.is_true(sale["priceAuth"])
    return prices.without_prices(record) if record.get("price_private") else record


def _sale(product: dict[str, Any]) -> dict[str, Any]:
    return fields.section_of(product, "saleInfo", "productSaleInfo")


def _raw_skus(product: dict[str, Any]) -> Any:
    return fields.first(product, "skuInfos", "productSkuInfos")


def _ranges(sale: dict[str, Any]) -> Any:
    return fields.first(sale, "priceRanges", "priceRangeList")


def _read_skus(raw: Any, *, has_retail: bool = False) -> Any:
    """Return the record's ``skus``; what is not told of a SKU is None or empty.

    With *has_retail* its ``retailPrice`` is the price of one piece. Elsewhere a field of that name
    is the seller's idea of what the buyer's customers should pay.
    """
    skus = fields.listed(raw)
    if raw is None or not isinstance(skus, list):
        return raw
    return [_read_sku(sku, has_retail=has_retail) if isinstance(sku, dict) else sku for sku in skus]


def _read_sku(sku: dict[str, Any], *, has_retail: bool) -> dict[str, Any]:
    raw = fields.first(sku, "attributes", "skuAttributes")
    pairs = fields.read_pairs(raw)
    entries = [] if pairs is None else fields.listed(raw)
    images = [fields.image_url(entry.get("skuImageUrl")) for entry in entries]
    dropship = prices.dropship_price(sku, "fenxiaoPriceInfo")
    return {
        "sku_id": fields.count(fields.first(sku, "skuId", "skuID")),
        "spec_id": fields.text(fields.first(sku, "specId", "specID")),
        "attributes": raw if pairs is None else dict(pairs),
        "price": fields.amount(sku.get("price")),
        "price_tiers": prices.read_tiers(sku.get("priceRange")),
        "stock": fields.count(sku.get("amountOnSale")),
        "image": next((image for image in images if image is not None), None),
        "retail_price": fields.told_amount(sku.get("retailPrice")) if has_retail else None,
        "promotion_price": fields.told_amount(sku.get("promotionPrice")),
        "dropship_price": dropship or fields.told_amount(sku.get("consignPrice")),
        "cargo_number": fields.told_text(sku.get("cargoNumber")),
    }


def _total_stock(skus: Any) -> int | None:
    """Return the stock of all SKUs together, None if that of one is unknown."""
    stocks = [sku["stock"] for sku in prices.variants(skus) if isinstance(sku["stock"], int)]
    if not stocks or len(stocks) < len(skus):
        return None
    return fields.UNLIMITED if fields.UNLIMITED in stocks else sum(stocks)
