from __future__ import annotations

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.spiders.shown_products import ShownProducts

FIRST = ApiCall.search(page=1, page_size=50)
SECOND = ApiCall.search(page=2, page_size=50)


def test_the_first_call_that_shows_a_product_is_known() -> None:
    shown = ShownProducts()
    assert shown.find("a", 1) is None
    assert shown.first_call("a", 1, FIRST) == FIRST
    assert shown.first_call("a", 1, SECOND) == shown.find("a", 1) == FIRST
    assert shown.first_call("b", 1, SECOND) == SECOND
    assert shown.find("a", None) is None


def test_a_search_that_begins_again_has_shown_nothing() -> None:
    shown = ShownProducts()
    shown.first_call("a", 1, FIRST)
    shown.first_call("b", 1, FIRST)
    shown.begin("a")
    assert (shown.find("a", 1), shown.find("b", 1), len(shown)) == (None, FIRST, 1)


def test_the_oldest_search_is_forgotten_first() -> None:
    shown = ShownProducts(most=3)
    for search in ("a", "b"):
        for product_id in (1, 2):
            shown.first_call(search, product_id, FIRST)
    assert (shown.find("a", 1), shown.find("b", 1), len(shown)) == (None, FIRST, 2)


def test_of_a_single_search_the_first_products_are_forgotten() -> None:
    shown = ShownProducts(most=3)
    for product_id in range(1, 6):
        shown.first_call("a", product_id, FIRST)
    assert [bool(shown.find("a", number)) for number in range(1, 6)] == [False] * 2 + [True] * 3
    assert len(shown) == 3
