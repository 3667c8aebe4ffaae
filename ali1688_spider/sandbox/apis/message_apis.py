"""The APIs for messages that were not delivered: the query, the cursor and the confirmation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.sandbox.apis import (
    PagePart,
    Parameters,
    Query,
    id_list,
    moment,
    number,
    page_of,
)
from ali1688_spider.sandbox.platform_errors import require

if TYPE_CHECKING:
    from ali1688_spider.sandbox.products import Goods
    from ali1688_spider.sandbox.shapes import Json

_LEAST, _MOST = 20, 200  # rows of a page
_SYSTEM = {"_aop_signature", "_aop_timestamp", "access_token"}
_FILTERS = {"createStartTime", "createEndTime", "type", "userInfo"}


def query_messages(params: Parameters) -> Query:
    """Read a call of ``push.query.messageList``, which confirms nothing."""
    _refuse_others(params, _FILTERS | {"page", "pageSize"})
    at = page_of(params, "page", "pageSize", _MOST)
    require(at.size >= _LEAST, "page-size", parameter="pageSize")
    return Query(_tell_page, (_filters(params), at), changes=True)


def take_messages(params: Parameters) -> Query:
    """Read a call of ``push.cursor.messageList``, which confirms what it tells."""
    _refuse_others(params, _FILTERS | {"quantity"})
    quantity = number(params.get("quantity", _LEAST), 0)
    require(_LEAST <= quantity <= _MOST, "page-size", parameter="quantity")
    return Query(_take, (_filters(params), quantity), changes=True)


def confirm_messages(params: Parameters) -> Query:
    """Read a call of ``push.message.confirm``."""
    _refuse_others(params, {"msgIdList"})
    return Query(_confirm, id_list(params, "msgIdList"), changes=True)


_Filters = tuple[str, str, tuple[float | None, float | None]]


def _filters(params: Parameters) -> _Filters:
    created = (moment(params, "createStartTime"), moment(params, "createEndTime"))
    return params.get("type", ""), params.get("userInfo", ""), created


def _refuse_others(params: Parameters, known: set[str]) -> None:
    for name in sorted(set(params) - known - _SYSTEM):
        require(False, "invalid-parameter", parameter=name)  # never holds


def _tell_page(goods: Goods, filters: _Filters, at: PagePart) -> Json:
    found = goods.inventory.messages().undelivered(*filters)
    return {"pushMessagePage": {"datas": at.of(found), "totalCount": len(found)}}


def _take(goods: Goods, filters: _Filters, quantity: int) -> Json:
    box = goods.inventory.messages()
    taken = box.undelivered(*filters)[:quantity]
    box.confirm(int(each["msgId"]) for each in taken)
    return {"pushMessageList": taken}


def _confirm(goods: Goods, *message_ids: int) -> Json:
    goods.inventory.messages().confirm(message_ids)
    return {"isSuccess": True}
