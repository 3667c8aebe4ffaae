"""Whatever an answer holds: it is read without an error, judged in plain words, and can be kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bson
from hypothesis import given, settings
from hypothesis import strategies as st

from ali1688_spider.gateway import parsing
from ali1688_spider.gateway.errors import UnreadableResponseError
from ali1688_spider.gateway.response import load_json
from ali1688_spider.items import ParsedProduct, Product
from ali1688_spider.pipelines.validation import check
from ali1688_spider.storage.database import CODEC_OPTIONS
from ali1688_spider.storage.observation import Observation
from ali1688_spider.storage.rejections import storable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = Path(__file__).parent / "samples"
PARSERS: dict[str, Callable[[Any], Any]] = {
    "router_product": parsing.parse_router_product,
    "router_search": parsing.parse_router_search,
    "product_info_by_quantity": parsing.parse_product_info,
    "product_info_by_sku": parsing.parse_product_info,
    "product_info_by_sku_and_quantity": parsing.parse_product_info,
    "product_info_private": parsing.parse_product_info,
    "product_info_simple": parsing.parse_product_info,
    "product_list": parsing.parse_own_products,
    "query_product_detail": parsing.parse_product_detail,
    "keyword_query": parsing.parse_keyword_query,
}
ODDITIES = [
    *("null", "true", "false", "0", "1", "2", "3", "-5", "12.50", "-0.0", "[]", "{}"),
    *("NaN", "-Infinity", "1e9999999", "1e99999999999999999999", "0e50", "-1E+40"),
    *("1180591620717411303424", "0.00000000000000000000000001"),
    *('""', '"x"', '"NaN"', '"12.50"', '"10-20"', '"true"', '"-0"'),
    *(r'"\ud800"', r'"\u0000"', '"//a"', '"javascript:x"', r'{"\ud800":1}', '["x",{}]'),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container below *value* with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, str]:
    """Return the name of a sample, and its text with some of its values replaced."""
    name = draw(st.sampled_from(sorted(PARSERS)))
    payload = json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    replaced = draw(st.lists(st.sampled_from(ODDITIES), max_size=3))
    for number in range(len(replaced)):
        container, key = draw(st.sampled_from(list(places(payload))))
        container[key] = f"@{number}@"
    text = json.dumps(payload)
    for number, oddity in enumerate(replaced):
        text = text.replace(f'"@{number}@"', oddity)
    return name, text


def rows_of(parse: Callable[[Any], Any], payload: Any) -> list[dict[str, Any]]:
    try:
        read = parse(payload)
    except UnreadableResponseError:
        return []
    return [read] if isinstance(read, dict) else read.rows


@settings(max_examples=300, deadline=None)
@given(answer=answers())
def test_any_answer(answer: tuple[str, str]) -> None:
    name, text = answer
    payload = load_json(text.encode())
    for fields in rows_of(PARSERS[name], payload):
        for complete in (True, False):
            judge({"product_id": 1, **fields}, complete=complete)
    bson.encode({"payload": storable(payload)}, codec_options=CODEC_OPTIONS)


def judge(fields: dict[str, Any], *, complete: bool) -> None:
    checked = check(ParsedProduct(fields, None, "api", datetime.now(UTC), complete))
    if isinstance(checked, Product):
        bson.decode(Observation.of(checked).set_fields)
    else:
        assert checked
        assert all(reason.isprintable() for reason in checked)
