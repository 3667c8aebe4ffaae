"""The APIs by their names, each with the function that reads its parameters."""

from __future__ import annotations

from functools import partial

from ali1688_spider.sandbox.apis import (
    Api,
    batch_apis,
    discovery_apis,
    message_apis,
    product_apis,
    search_apis,
)
from ali1688_spider.sandbox.shapes import product_info, router_product

# The APIs of `router` and `top` (the parameter `method`).
ROUTER_APIS: dict[str, Api] = {
    "alibaba.product.get": product_apis.product_by("product_id", router_product),
    "alibaba.product.search": search_apis.router_search,
}

_OPEN, _PRODUCT, _FENXIAO, _PUSH = (
    "cn.alibaba.open",
    "com.alibaba.product",
    "com.alibaba.fenxiao",
    "com.alibaba.product.push",
)
_CROSS_BORDER, _SIMILAR = "com.alibaba.fenxiao.crossborder", "com.alibaba.linkplus"
_ANALYZE = f"{_CROSS_BORDER}:product.analyze"
# The APIs of `param2` (namespace, API and version).
PARAM2_APIS: dict[str, Api] = {
    f"{_PRODUCT}:alibaba.product.get-1": product_apis.product_of_site(product_info.full_product),
    f"{_PRODUCT}:alibaba.product.simple.get-1": product_apis.product_of_site(
        product_info.simple_product
    ),
    f"{_PRODUCT}:alibaba.product.list.get-1": batch_apis.own_products,
    f"{_PRODUCT}:alibaba.product.getByIdList-1": batch_apis.own_products_by_id,
    f"{_PRODUCT}:alibaba.cross.productInfo-1": product_apis.cross_product,
    f"{_PRODUCT}:alibaba.cross.productList-1": batch_apis.cross_products,
    f"{_PRODUCT}:alibaba.category.get-1": discovery_apis.category_info,
    f"{_PRODUCT}:alibaba.product.follow.crossborder-1": partial(product_apis.follow, related=True),
    f"{_PRODUCT}:alibaba.product.unfollow.crossborder-1": partial(
        product_apis.follow, related=False
    ),
    f"{_OPEN}:push.query.messageList-1": message_apis.query_messages,
    f"{_OPEN}:push.cursor.messageList-1": message_apis.take_messages,
    f"{_OPEN}:push.message.confirm-1": message_apis.confirm_messages,
    f"{_PUSH}:alibaba.cross.syncProductListPushed-1": batch_apis.list_products,
    f"{_FENXIAO}:alibaba.fenxiao.productInfo.get-1": product_apis.fenxiao,
    f"{_FENXIAO}:alibaba.pifatuan.product.detail.list-1": batch_apis.curated_products,
    f"{_SIMILAR}:alibaba.cross.similar.offer.search-1": search_apis.similar_offers,
    f"{_CROSS_BORDER}:product.search.queryProductDetail-1": product_apis.offer_detail,
    f"{_CROSS_BORDER}:product.search.keywordQuery-1": search_apis.keyword_query,
    f"{_CROSS_BORDER}:product.search.imageQuery-1": search_apis.image_query,
    f"{_CROSS_BORDER}:product.image.upload-1": search_apis.image_upload,
    f"{_CROSS_BORDER}:product.search.querySellerOfferList-1": search_apis.seller_offers,
    f"{_CROSS_BORDER}:product.search.offerRecommend-1": discovery_apis.recommended,
    f"{_CROSS_BORDER}:product.related.recommend-1": discovery_apis.related,
    f"{_CROSS_BORDER}:product.topList.query-1": discovery_apis.top_list,
    f"{_CROSS_BORDER}:product.search.topKeyword-1": discovery_apis.top_keywords,
    f"{_CROSS_BORDER}:pool.product.pull-1": discovery_apis.pool_products,
    f"{_CROSS_BORDER}:category.translation.getById-1": discovery_apis.category_translation,
    f"{_CROSS_BORDER}:product.freight.estimate-1": product_apis.freight,
    f"{_CROSS_BORDER}:product.kjdistribute.addRelation-1": product_apis.add_relation,
    # The platform's own spelling; the other two have the right one.
    f"{_ANALYZE}.getPerdaySellQuantityTrendNew-1": product_apis.trend("sold", "tendQueryParam"),
    f"{_ANALYZE}.getThirtyDayMedianPriceTrendNew-1": product_apis.trend("price", "trendQueryParam"),
    f"{_ANALYZE}.getRepurchaseRateTrendNew-1": product_apis.trend("repurchase", "trendQueryParam"),
}
# Those that need no token.
OPEN_APIS = {
    f"{_CROSS_BORDER}:product.search.topKeyword-1",
    f"{_PRODUCT}:alibaba.category.get-1",
    f"{_OPEN}:push.query.messageList-1",
    f"{_OPEN}:push.cursor.messageList-1",
    f"{_OPEN}:push.message.confirm-1",
}
# The system's, which `wire` answers: the first needs a signature alone, the second none.
CURRENT_TIME, GET_TOKEN = "system:currentTime-1", "system.oauth2:getToken-1"
API_NAMES = {*ROUTER_APIS, *PARAM2_APIS, CURRENT_TIME, GET_TOKEN}


def bare_name(api_name: str) -> str:
    """Return the name of an API without its namespace and version."""
    return api_name.rpartition(":")[2].removesuffix("-1")
