"""Takes a refused product out of a call for several, so that the others arrive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ali1688_spider.gateway.errors import CallError, ErrorAction

if TYPE_CHECKING:
    from ali1688_spider.http import ApiRequest

_NUMBER = re.compile(r"\d+")


def is_refused_for_a_product(request: ApiRequest, error: CallError) -> bool:
    """Return whether a call for several products failed because of some of them, as it seems."""
    is_business = bool(error.max_attempts) or error.action in {
        ErrorAction.GIVE_UP,
        ErrorAction.GONE,
    }
    return is_business and len(request.call.product_ids) > 1


def parts(request: ApiRequest, error: CallError) -> Iterator[ApiRequest]:
    """Yield the requests that take the place of *request*, all to be sent at once.

    Each product that the refusal names gets a call of its own, which says what becomes of it, and
    the others stay together; when it names none, each half does.
    """
    product_ids = request.call.product_ids
    named = [each for each in map(int, _NUMBER.findall(error.message)) if each in product_ids]
    if not named:
        middle = len(product_ids) // 2
        yield request.part(product_ids[:middle])
        yield request.part(product_ids[middle:])
        return
    if others := [each for each in product_ids if each not in named]:
        yield request.part(others)
    for product_id in dict.fromkeys(named):
        yield request.part([product_id])
