"""Whatever an answer holds: it is read without an error, judged in plain words, and can be kept.

100,000 answers that were made of the samples, always the same ones, end as a product, as one that
is refused with its reasons, or in a typed error.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import bson
import pytest

from ali1688_spider.gateway.api import ProductApi
from ali1688_spider.gateway.catalogue import find_api
from ali1688_spider.gateway.errors import CallError
from ali1688_spider.gateway.protocols import WireResponse
from ali1688_spider.gateway.response import load_json, read_response
from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.pipelines.validation import check
from ali1688_spider.storage.database import CODEC_OPTIONS
from ali1688_spider.storage.observation import Observation
from ali1688_spider.storage.rejections import storable
from tests.gateway.catalogued import (
    CROSS_BORDER,
    CURATED,
    DETAIL,
    DROPSHIP,
    KEYWORD,
    OWN,
    PRODUCT_GET,
    ROUTER,
    ROUTER_SEARCH,
    read_page,
    sample,
)

ANSWERS = 4_000
"""Of each sample; with 25 samples, 100,000."""

SHAPES = {
    "router_product": ROUTER,
    "router_search": ROUTER_SEARCH,
    "product_info_by_quantity": PRODUCT_GET,
    "product_info_by_sku": PRODUCT_GET,
    "product_info_by_sku_and_quantity": PRODUCT_GET,
    "product_info_skus_by_quantity": PRODUCT_GET,
    "product_info_private": PRODUCT_GET,
    "product_info_simple": "com.alibaba.product:alibaba.product.simple.get-1",
    "product_info_strings": "com.alibaba.product:alibaba.cross.productInfo-1",
    "product_id_list": "com.alibaba.product:alibaba.product.getByIdList-1",
    "curated_products": CURATED,
    "dropship_product": DROPSHIP,
    "query_product_detail": DETAIL,
    "detail_retail": DETAIL,
    "detail_bare": DETAIL,
    "keyword_query": KEYWORD,
    "keyword_query_full": KEYWORD,
    "seller_offers": f"{CROSS_BORDER}:product.search.querySellerOfferList-1",
    "image_query": f"{CROSS_BORDER}:product.search.imageQuery-1",
    "related_products": f"{CROSS_BORDER}:product.related.recommend-1",
    "top_list": f"{CROSS_BORDER}:product.topList.query-1",
    "pool": f"{CROSS_BORDER}:pool.product.pull-1",
    "similar_offers": "com.alibaba.linkplus:alibaba.cross.similar.offer.search-1",
    "product_list": OWN,
    "own_products": OWN,
}
ODDITIES = load_json(
    b"""[null, true, false, 0, 1, 2, 3, -5, 12.50, -0.0, [], {}, NaN, -Infinity, 1e9999999,
    1e99999999999999999999, 0e50, -1E+40, 1180591620717411303424, 0.00000000000000000000000001,
    "", "x", "NaN", "12.50", "10-20", "true", "-0", "13%", "%", "\\ud800", "\\u0000", "//a",
    "javascript:x", {"\\ud800": 1}, ["x", {}], [[]], [null], {"a": {"a": {}}}, "0001-01-01",
    "20181313201638000+0800", "9999-12-31 23:59:59", "99999999999999", "\\u5546\\u54c1"]"""
)


def add_places(value: Any, found: list[tuple[Any, Any]]) -> None:
    """Add each container below *value* with each of its keys."""
    for key, below in value.items() if isinstance(value, dict) else enumerate(value):
        found.append((value, key))
        if isinstance(below, (dict, list)):
            add_places(below, found)


def copied(value: Any) -> Any:
    """Return what JSON holds in containers of its own, five times as fast as ``deepcopy``."""
    if isinstance(value, dict):
        return {key: copied(below) for key, below in value.items()}
    if isinstance(value, list):
        return [copied(below) for below in value]
    return value


def mutated(payload: Any, chance: random.Random) -> Any:
    """Return the answer with up to four of its values replaced, left out, or moved elsewhere."""
    payload = copied(payload)
    for _ in range(chance.randint(1, 4)):
        found: list[tuple[Any, Any]] = []
        add_places(payload, found)
        if not found:
            break
        container, key = chance.choice(found)
        act = chance.random()
        if act < 0.7:
            container[key] = copied(chance.choice(ODDITIES))
        elif act < 0.85:
            del container[key]
        else:
            source, other = chance.choice(found)
            container[key] = copied(source[other])
    return payload


def products_of(name: str, payload: Any) -> list[dict[str, Any]]:
    api = find_api(name)
    if isinstance(api, ProductApi):
        return [fields for fields, _ in api.products(payload)] or [api.parse(payload)]
    return read_page(name, payload).rows


def judge(fields: dict[str, Any], *, complete: bool) -> str:
    checked = check(ParsedProduct(fields, None, "api", datetime.now(UTC), complete))
    if isinstance(checked, Product):
        bson.decode(Observation.of(checked).set_fields)
        return "product"
    assert checked
    assert all(reason.isprintable() for reason in checked)
    return "refused"


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_any_answer(shape: str) -> None:
    payload, chance = sample(shape), random.Random(shape)  # the same each time
    ends: Counter[str] = Counter()
    for number in range(ANSWERS):
        answer = mutated(payload, chance)
        try:
            found = products_of(SHAPES[shape], answer)
        except CallError:
            ends["error"] += 1
            continue
        ends.update(judge({"product_id": 1, **f}, complete=bool(number % 2)) for f in found)
        if number % 20 == 0:
            bson.encode({"payload": storable(answer)}, codec_options=CODEC_OPTIONS)
    assert ends["product"] > ANSWERS / 10
    assert ends["refused"] > 0


@pytest.mark.parametrize("shape", ["detail_retail", "curated_products", "similar_offers"])
def test_any_answer_is_data_or_a_typed_error(shape: str) -> None:
    payload, chance = sample(shape), random.Random(shape)  # likewise
    for _ in range(ANSWERS // 4):
        body = json.dumps(mutated(payload, chance), default=str).encode()
        try:
            data = read_response("param2", WireResponse(200, {}, body), product_expected=True)
        except CallError:
            continue
        assert isinstance(data, dict)
