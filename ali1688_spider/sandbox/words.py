"""The words that the products' names and attributes are made of, Chinese with their English."""

from __future__ import annotations

from dataclasses import dataclass

Word = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Category:
    """A category of products.

    Attributes:
        category_id: Its id.
        name: Its name.
        unit: What its products are counted in.
        nouns: What its products are.
    """

    category_id: int
    name: str
    unit: str
    nouns: tuple[Word, ...]


CATEGORIES = (
    Category(1031910, "杯子水具", "个", (("保温杯", "thermos cup"), ("玻璃杯", "glass cup"))),
    Category(1046, "手机配件", "个", (("手机壳", "phone case"), ("手机支架", "phone stand"))),
    Category(10166, "女装", "件", (("连衣裙", "dress"), ("针织衫", "knit sweater"))),
    Category(10165, "男装", "件", (("卫衣", "hoodie"), ("工装裤", "cargo trousers"))),
    Category(1813, "玩具", "套", (("积木", "building blocks"), ("毛绒玩具", "plush toy"))),
    Category(15, "家居收纳", "个", (("收纳盒", "storage box"), ("挂钩", "hook"))),
    Category(57, "数码电脑", "台", (("蓝牙耳机", "bluetooth headset"), ("键盘", "keyboard"))),
    Category(68, "箱包皮具", "只", (("双肩包", "backpack"), ("钱包", "wallet"))),
    Category(6, "灯具照明", "盏", (("台灯", "desk lamp"), ("灯带", "light strip"))),
    Category(1501, "五金工具", "把", (("螺丝刀", "screwdriver"), ("卷尺", "tape measure"))),
)

STYLES: tuple[Word, ...] = (
    ("新款", "new"),
    ("厂家直销", "factory direct"),
    ("跨境", "cross-border"),
    ("批发", "wholesale"),
    ("定制", "custom"),
    ("ins风", "ins style"),
    ("复古", "retro"),
)

MATERIALS: tuple[Word, ...] = (
    ("不锈钢", "stainless steel"),
    ("硅胶", "silicone"),
    ("纯棉", "cotton"),
    ("实木", "wooden"),
    ("亚克力", "acrylic"),
)

COLOURS = ("红色", "蓝色", "黑色", "白色", "粉色", "绿色")
SIZES = ("大号", "小号")
REGIONS = ("浙江 义乌", "广东 深圳", "福建 泉州", "山东 临沂", "河北 保定")
COMPANIES = ("义乌市晨星日用品有限公司", "深圳市远航电子厂", "泉州鸿达服饰", "临沂金源百货商行")

STATUSES = (
    "member expired",
    "auto expired",
    "expired",
    "modified",
    "new",
    "TBD",
    "approved",
    "auditing",
    "untread",
)
"""The states besides ``published`` that a product may be in and still be answered."""
