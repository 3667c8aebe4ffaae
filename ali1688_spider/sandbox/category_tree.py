"""The categories: a tree of three levels, in whose leaves the products are.

A search for a category finds what is in the leaves below it. The two APIs that tell the tree
differ: ``category.translation.getById`` writes ``leaf`` and ``parentCateId`` as text of the
category that was asked for, and as a Boolean and a number of its children;
``alibaba.category.get`` spells its success ``succes``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Json = dict[str, Any]
Word = tuple[str, str]  # Chinese and English

ROOT_ID = 0


def words(text: str) -> tuple[Word, ...]:
    """Return the words of ``"保温杯 thermos cup, 玻璃杯 glass cup"``."""
    pairs = (word.partition(" ") for word in text.split(", "))
    return tuple((chinese, english) for chinese, _, english in pairs)


class Category(NamedTuple):
    """A leaf: its products are counted in ``unit`` and named by one of ``nouns``."""

    category_id: int
    parent_id: int
    name: str
    english_name: str
    unit: str
    nouns: tuple[Word, ...]


class CategoryBranch(NamedTuple):
    """A category of the first or second level; the parent of a first one is the root."""

    category_id: int
    parent_id: int
    name: str
    english_name: str


CATEGORIES = (
    Category(
        1031910, 7001, "杯子水具", "Drinkware", "个", words("保温杯 thermos cup, 玻璃杯 glass cup")
    ),
    Category(
        1046,
        7201,
        "手机配件",
        "Phone accessories",
        "个",
        words("手机壳 phone case, 手机支架 phone stand"),
    ),
    Category(
        10166, 7101, "女装", "Women's clothing", "件", words("连衣裙 dress, 针织衫 knit sweater")
    ),
    Category(
        10165, 7101, "男装", "Men's clothing", "件", words("卫衣 hoodie, 工装裤 cargo trousers")
    ),
    Category(1813, 7003, "玩具", "Toys", "套", words("积木 building blocks, 毛绒玩具 plush toy")),
    Category(15, 7002, "家居收纳", "Storage", "个", words("收纳盒 storage box, 挂钩 hook")),
    Category(
        57, 7202, "数码电脑", "Computers", "台", words("蓝牙耳机 bluetooth headset, 键盘 keyboard")
    ),
    Category(68, 7102, "箱包皮具", "Bags", "只", words("双肩包 backpack, 钱包 wallet")),
    Category(6, 7301, "灯具照明", "Lighting", "盏", words("台灯 desk lamp, 灯带 light strip")),
    Category(1501, 7302, "五金工具", "Tools", "把", words("螺丝刀 screwdriver, 卷尺 tape measure")),
)
BRANCHES = (
    CategoryBranch(70, ROOT_ID, "日用百货", "Home and daily use"),
    CategoryBranch(71, ROOT_ID, "服饰箱包", "Clothing and bags"),
    CategoryBranch(72, ROOT_ID, "数码家电", "Electronics"),
    CategoryBranch(73, ROOT_ID, "五金照明", "Hardware and lighting"),
    CategoryBranch(7001, 70, "餐饮用具", "Dining"),
    CategoryBranch(7002, 70, "居家用品", "Household"),
    CategoryBranch(7003, 70, "母婴玩具", "Mother, baby and toys"),
    CategoryBranch(7101, 71, "服装", "Clothing"),
    CategoryBranch(7102, 71, "箱包", "Luggage"),
    CategoryBranch(7201, 72, "手机周边", "Phones"),
    CategoryBranch(7202, 72, "电脑周边", "Computing"),
    CategoryBranch(7301, 73, "照明", "Lights"),
    CategoryBranch(7302, 73, "工具", "Hand tools"),
)
_ROOT = CategoryBranch(ROOT_ID, ROOT_ID, "全部类目", "All categories")
_BY_ID: dict[int, Category | CategoryBranch] = {
    each.category_id: each for each in (*CATEGORIES, *BRANCHES)
}


def path_of(category_id: int) -> tuple[int, ...]:
    """Return the ids from the first level down to the category; empty if it is unknown."""
    category = _BY_ID.get(category_id)
    return (*path_of(category.parent_id), category_id) if category else ()


def leaves_of(category_id: int) -> frozenset[int]:
    """Return the ids of the leaves below a category, itself if it is one; none if unknown."""
    leaves = (leaf.category_id for leaf in CATEGORIES)
    return frozenset(leaf for leaf in leaves if category_id in path_of(leaf))


def leaf_named(word: str) -> int | None:
    """Return the id of the leaf that has this name or this noun, in Chinese or English."""
    for leaf in CATEGORIES:
        names = {leaf.name, leaf.english_name, *(name for noun in leaf.nouns for name in noun)}
        if word.casefold() in map(str.casefold, names):
            return leaf.category_id
    return None


def _children(category_id: int) -> list[Category | CategoryBranch]:
    return [each for each in _BY_ID.values() if each.parent_id == category_id]


def translated_category(category_id: int, language: str) -> Json | None:
    """Return the data of ``category.translation.getById``; None without such a category."""
    category = _ROOT if category_id == ROOT_ID else _BY_ID.get(category_id)
    if category is None:
        return None
    told = _translated(category, language)
    told["leaf"] = str(told["leaf"]).lower()
    told["parentCateId"] = str(told["parentCateId"])
    return told | {"children": [_translated(child, language) for child in _children(category_id)]}


def _translated(category: Category | CategoryBranch, language: str) -> Json:
    return {
        "categoryId": category.category_id,
        "chineseName": category.name,
        "translatedName": translate(category.english_name, language),
        "language": language,
        "leaf": isinstance(category, Category),
        "level": str(len(path_of(category.category_id))),
        "parentCateId": category.parent_id,
    }


def category_info(category_id: int) -> Json | None:
    """Return the row of ``alibaba.category.get``; None without such a category."""
    category = _ROOT if category_id == ROOT_ID else _BY_ID.get(category_id)
    if category is None:
        return None
    children = _children(category_id)
    return {
        "categoryID": category_id,
        "name": category.name,
        "level": len(path_of(category_id)),
        "isLeaf": isinstance(category, Category),
        "parentIDs": [] if category is _ROOT else [category.parent_id],
        "childIDs": [child.category_id for child in children],
        "childCategorys": [
            {
                "id": child.category_id,
                "name": child.name,
                "categoryType": "1",
                "isLeaf": isinstance(child, Category),
            }
            for child in children
        ],
    }


def translate(english: str, language: str) -> str:
    """Return an English text as in another language: marked with its name, such as ``[ja] cup``."""
    return english if language == "en" else f"[{language}] {english}"
