"""The tree of categories, as the two APIs tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.sandbox.category_tree import CATEGORIES
from tests.sandbox.caller import CROSS_BORDER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sandbox.caller import Caller

TRANSLATED = f"{CROSS_BORDER}:category.translation.getById-1"
CATEGORY = "com.alibaba.product:alibaba.category.get-1"


async def translated(gateway: Caller, category_id: object, language: str = "en") -> dict[str, Any]:
    answer = await gateway.param2(TRANSLATED, language=language, categoryId=str(category_id))
    category: dict[str, Any] = answer.json["result"]["result"]
    return category


async def test_the_tree_has_three_levels(gateway: Caller) -> None:
    leaves = []
    for top in (await translated(gateway, 0))["children"]:
        assert (top["level"], top["leaf"]) == ("1", False)
        for second in (await translated(gateway, top["categoryId"]))["children"]:
            assert (second["level"], second["parentCateId"]) == ("2", top["categoryId"])
            for third in (await translated(gateway, second["categoryId"]))["children"]:
                assert (third["level"], third["leaf"]) == ("3", True)
                leaves.append(third["categoryId"])
    assert sorted(leaves) == sorted(leaf.category_id for leaf in CATEGORIES)


async def test_the_category_itself_has_texts_where_its_children_have_values(
    gateway: Caller,
) -> None:
    category = await translated(gateway, 7001, "ja")
    (child,) = category["children"]
    assert (category["leaf"], category["parentCateId"]) == ("false", "70")
    assert (child["leaf"], child["parentCateId"]) == (True, 7001)
    assert (child["chineseName"], child["translatedName"]) == ("杯子水具", "[ja] Drinkware")
    assert (await translated(gateway, 1031910))["children"] == []


async def test_the_other_api_needs_no_token(start: Callable[..., Awaitable[Caller]]) -> None:
    gateway = await start(access_token="token")
    answer = await gateway.param2(CATEGORY, categoryID="0")
    assert answer.json["succes"] == "true"
    (root,) = answer.json["categoryInfo"]
    assert root["childIDs"] == [70, 71, 72, 73]
    (leaf,) = (await gateway.param2(CATEGORY, categoryID="57")).json["categoryInfo"]
    assert (leaf["name"], leaf["isLeaf"], leaf["parentIDs"]) == ("数码电脑", True, [7202])


@pytest.mark.parametrize("category_id", ["5", "-1", "x"])
async def test_unknown_categories(gateway: Caller, category_id: str) -> None:
    answer = await gateway.param2(TRANSLATED, language="en", categoryId=category_id)
    assert answer.json["result"] == {"success": False, "code": "400", "message": "类目不存在"}
    answer = await gateway.param2(CATEGORY, categoryID=category_id)
    assert answer.json == {"succes": "false", "errorCode": "400", "errorMsg": "类目不存在"}


async def test_both_need_their_parameters(gateway: Caller) -> None:
    assert (await gateway.param2(TRANSLATED, language="en")).code == "gw.ParamMissing"
    assert (await gateway.param2(TRANSLATED, categoryId="0")).code == "gw.ParamMissing"
    assert (await gateway.param2(CATEGORY)).code == "gw.ParamMissing"
