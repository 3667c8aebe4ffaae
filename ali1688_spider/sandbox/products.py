"""The products: how they are made, what was set of them from outside, and which a search finds.

A product follows from its number and a step of time alone, the same at every run: its shape from
the number (:class:`Traits`), so that any hundred products in a row show every shape that real
responses have; price and stock also from the step.

A keyword that ends in a number finds exactly that many products, as far as there are so many:
``杯子95`` finds 95, and always the same ones. Any other keyword finds the products whose Chinese
or English name contains it.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ali1688_spider.sandbox.options import Options

FIRST_ID = 610_000_000_001
UNLIMITED_STOCK = 2_147_483_646
BY_QUANTITY, BY_SKU, BY_QUANTITY_WITH_SKUS, BY_SKU_AND_QUANTITY = range(4)

Word = tuple[str, str]  # Chinese and English


def _words(text: str) -> tuple[Word, ...]:
    pairs = (word.partition(" ") for word in text.split(", "))
    return tuple((chinese, english) for chinese, _, english in pairs)


class Category(NamedTuple):
    """A category: its products are counted in ``unit`` and named by one of ``nouns``."""

    category_id: int
    name: str
    unit: str
    nouns: tuple[Word, ...]


CATEGORIES = (
    Category(1031910, "杯子水具", "个", _words("保温杯 thermos cup, 玻璃杯 glass cup")),
    Category(1046, "手机配件", "个", _words("手机壳 phone case, 手机支架 phone stand")),
    Category(10166, "女装", "件", _words("连衣裙 dress, 针织衫 knit sweater")),
    Category(10165, "男装", "件", _words("卫衣 hoodie, 工装裤 cargo trousers")),
    Category(1813, "玩具", "套", _words("积木 building blocks, 毛绒玩具 plush toy")),
    Category(15, "家居收纳", "个", _words("收纳盒 storage box, 挂钩 hook")),
    Category(57, "数码电脑", "台", _words("蓝牙耳机 bluetooth headset, 键盘 keyboard")),
    Category(68, "箱包皮具", "只", _words("双肩包 backpack, 钱包 wallet")),
    Category(6, "灯具照明", "盏", _words("台灯 desk lamp, 灯带 light strip")),
    Category(1501, "五金工具", "把", _words("螺丝刀 screwdriver, 卷尺 tape measure")),
)
STYLES = _words(
    "新款 new, 厂家直销 factory direct, 跨境 cross-border, 批发 wholesale, 定制 custom, "
    "ins风 ins style, 复古 retro"
)
MATERIALS = _words(
    "不锈钢 stainless steel, 硅胶 silicone, 纯棉 cotton, 实木 wooden, 亚克力 acrylic"
)
COLOURS = ("红色", "蓝色", "黑色", "白色", "粉色", "绿色")
SIZES = ("大号", "小号")
REGIONS = ("浙江 义乌", "广东 深圳", "福建 泉州", "山东 临沂", "河北 保定")
COMPANIES = ("义乌市晨星日用品有限公司", "深圳市远航电子厂", "泉州鸿达服饰", "临沂金源百货商行")
# Besides "published", without the product being gone.
_STATES = "member expired,auto expired,expired,modified,new,TBD,approved,auditing,untread"
STATUSES = tuple(_STATES.split(","))

_MASK = 2**64 - 1
_MAGNITUDES = (100, 1_000, 1_000, 10_000)
_PRICE_PERIODS = (1, 2, 3, 5, 8, 13, 34, 0)
_STOCK_PERIODS = (1, 1, 2, 5, 0)
_CENT, _MILLE = Decimal("0.01"), Decimal("0.001")
_TIER_PERCENTS = (120, 110, 100)
_TOO_LARGE = 10**15  # CNY; beyond, tiers and SKUs could not be priced with exact digits
_CHANGEABLE = {"name", "price", "stock", "status", "removed", "answer"}
_COUNTED = re.compile(r"(.*?)(\d{1,9})")
_OWN_PRODUCTS = 95  # so many, from the first on, are the seller's own


def mix(*parts: int) -> int:
    """Return a 64-bit number that looks random and depends on *parts* alone."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ part) * 0xBF58476D1CE4E5B9 & _MASK
        state ^= state >> 29
    state = state * 0x94D049BB133111EB & _MASK
    return state ^ (state >> 31)


class Traits:
    """How the responses about the product of this number look."""

    def __init__(self, number: int) -> None:
        self.quote_type = number % 4  # where its prices are: 0 to 3 as the platform counts them
        self.private = number % 17 == 5  # its price is not public: left out
        self.texts = number % 5 == 3  # its numbers and booleans are texts
        self.image_style = number % 3  # 0: relative, 1: absolute, 2: starting with //
        self.repeated = number % 2 == 0  # an attribute has several values, under the same id
        self.sparse = number % 7 == 4  # documented fields are missing
        self.extended = number % 7 == 2  # undocumented fields are there
        self.fine = number % 23 == 9  # its prices have three decimals
        self.unlimited = number % 19 == 11  # its stock is the number that means "unlimited"
        self.display_names = number % 6 == 1  # SKU attributes have attributeDisplayName


class Tier(NamedTuple):
    """A price per unit (CNY) from a quantity on."""

    min_quantity: int
    price: Any


class SandboxProduct:
    """The product of a number (from 1) at a step of time.

    ``name``, ``price``, ``stock`` and ``status`` may be set by *changes*, to values of any type; a
    price is otherwise a Decimal (CNY per unit), the lowest of all, and a stock a count.
    """

    def __init__(self, number: int, step: int, changes: Mapping[str, Any]) -> None:
        seed, traits = mix(number, 7), Traits(number)
        self.number, self.traits = number, traits
        self.product_id = FIRST_ID - 1 + number
        self.category = _category_of(number)
        name, self.english_name = _names_of(number)
        odd_status = STATUSES[seed % len(STATUSES)] if number % 29 == 13 else "published"
        self.name = changes.get("name", name)
        self.status = changes.get("status", odd_status)
        self.price = changes.get("price", _price_of(number, step))
        self.stock = changes.get("stock", _stock_of(number, step))
        self.min_order_quantity = (1, 2, 5, 10)[seed % 4]
        self.tiers = self.make_tiers(self.price, self.min_order_quantity, 1 + (seed >> 4) % 3)
        self.by_quantity = traits.quote_type in (BY_QUANTITY, BY_QUANTITY_WITH_SKUS)
        count = 0 if traits.quote_type == BY_QUANTITY else 2 + number % 5
        self.skus = tuple(SandboxSku(self, index, count) for index in range(count))
        tiers = self.tiers if self.by_quantity else self.skus[-1].tiers
        self.price_max = tiers[0].price if tiers else self.skus[-1].price  # the highest of all
        colours = [COLOURS[(seed + more) % 6] for more in range(3 if traits.repeated else 1)]
        self.attributes = [(287, "材质", MATERIALS[seed % len(MATERIALS)][0])]
        self.attributes += [(3216, "颜色", colours[0]), (2176, "品牌", "晨星")]
        self.attributes += [(3216, "颜色", colour) for colour in colours[1:]]
        self.images = [f"img/ibank/O1CN01{seed % 10**8:08d}_{index}.jpg" for index in range(3)]
        self.supplier = COMPANIES[(seed >> 16) % len(COMPANIES)]
        self.login_id = f"supplier{seed % 500:03d}"
        self.region = REGIONS[(seed >> 24) % len(REGIONS)]
        self.sold = (seed >> 32) % 20_000

    def share_of_price(self, price: Any, percent: int) -> Any:
        """Return a share of *price*; one that is no amount stays what it is."""
        if percent == 100 or not isinstance(price, Decimal):
            return price
        return (price * percent / 100).quantize(_MILLE if self.traits.fine else _CENT)

    def make_tiers(self, price: Any, first: int, count: int) -> tuple[Tier, ...]:
        """Return so many tiers, from a quantity on, of which *price* is the lowest."""
        prices = [self.share_of_price(price, percent) for percent in _TIER_PERCENTS[-count:]]
        return tuple(Tier(first * 10**index, price) for index, price in enumerate(prices))


class SandboxSku:
    """One of the *count* variants of a product; ``price`` is the lowest of its tiers."""

    def __init__(self, product: SandboxProduct, index: int, count: int) -> None:
        quote_type, stock = product.traits.quote_type, product.stock
        self.sku_id = product.product_id * 10 + index
        self.spec_id = f"{mix(self.sku_id):016x}{mix(self.sku_id, 1):016x}"
        self.colour, self.size = COLOURS[index % len(COLOURS)], SIZES[index % len(SIZES)]
        self.image = f"img/ibank/sku_{self.sku_id}.jpg"
        percent = 100 if quote_type == BY_QUANTITY_WITH_SKUS else 100 + 5 * index
        self.price = product.share_of_price(product.price, percent)
        by_both = quote_type == BY_SKU_AND_QUANTITY
        self.tiers = product.make_tiers(self.price, 1, 2) if by_both else ()
        # Its part of the stock; a stock that is no usual count is not split.
        usual = type(stock) is int and 0 <= stock < UNLIMITED_STOCK
        self.stock = stock // count + (index < stock % count) if usual else stock


def _category_of(number: int) -> Category:
    return CATEGORIES[mix(number, 1) % len(CATEGORIES)]


def _names_of(number: int) -> Word:
    seed, nouns = mix(number, 2), _category_of(number).nouns
    style, material = STYLES[seed % len(STYLES)], MATERIALS[(seed >> 8) % len(MATERIALS)]
    chinese, english = zip(style, material, nouns[(seed >> 16) % len(nouns)], strict=True)
    model = f"{chr(65 + number % 26)}-{number}"
    return f"{''.join(chinese)} {model}", f"{' '.join(english)} {model}"


def _price_of(number: int, step: int) -> Decimal:
    """Return the lowest price of the product of this number at a step of time, in CNY."""
    seed = mix(number, 3)
    smallest = _MAGNITUDES[seed % len(_MAGNITUDES)]
    base = smallest + (seed >> 8) % (9 * smallest)
    period = _PRICE_PERIODS[(seed >> 40) % len(_PRICE_PERIODS)]
    percent = 80 + mix(number, 4, step // period if period else 0) % 41
    return (Decimal(base * percent) / 10_000).quantize(_MILLE if Traits(number).fine else _CENT)


def _stock_of(number: int, step: int) -> int:
    """Return how many of the product of this number are left at a step of time."""
    if Traits(number).unlimited:
        return UNLIMITED_STOCK
    period = _STOCK_PERIODS[mix(number, 5) % len(_STOCK_PERIODS)]
    return mix(number, 6, step // period if period else 0) % 5_000


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is searched for; empty and None match everything, prices are in CNY."""

    keyword: str = ""
    category_id: int | None = None
    price_start: Decimal | None = None
    price_end: Decimal | None = None
    own: bool = False  # the seller's own products alone


class Inventory:
    """The products of the sandbox, as they are at a step of time."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._changes: dict[int | None, dict[str, Any]] = {}
        self.find = lru_cache(maxsize=64)(self._find)  # cleared after each change

    def step(self) -> int:
        """Return the current step of time, by which prices and stock are made."""
        seconds = self._options.drift
        return self._options.step + (int(self._options.now() // seconds) if seconds else 0)

    def exists(self, product_id: int) -> bool:
        """Whether there is such a product and it is not gone."""
        changes = self._changes.get(product_id)
        if changes is not None:
            return not changes.get("removed", False)
        number, removed = product_id - FIRST_ID + 1, self._options.removed
        return 0 < number <= self._options.products and not (removed and number % removed == 0)

    def product(self, product_id: int, step: int) -> SandboxProduct:
        """Return a product that exists."""
        return SandboxProduct(product_id - FIRST_ID + 1, step, self._changes.get(product_id, {}))

    def price(self, product_id: int, step: int) -> Decimal | None:
        """Return the lowest price (CNY); None when it is private or no amount."""
        number = product_id - FIRST_ID + 1
        price = self._changes.get(product_id, {}).get("price", _price_of(number, step))
        return price if isinstance(price, Decimal) and not Traits(number).private else None

    def set_body(self, product_id: int | None) -> bytes | None:
        """Return the whole body that was set for responses about a product, None without one."""
        return self._changes.get(product_id, {}).get("answer")

    def change(self, product_id: int, changes: dict[str, Any]) -> None:
        """Set fields of a product, as ``POST /_sandbox/products/{id}`` says; raises ValueError.

        It exists from then on, unless it is set to be removed.
        """
        if unknown := set(changes) - _CHANGEABLE:
            raise ValueError(f"{', '.join(sorted(unknown))} cannot be set of a product")
        if not isinstance(changes.get("removed", False), bool):
            raise ValueError("removed is true or false")  # noqa: TRY004  # one kind for the caller
        changed = self._changes.get(product_id, {"removed": False}) | changes
        price = decimal_of(changes.get("price"))
        if price is not None and abs(price) < _TOO_LARGE:
            changed["price"] = price
        answer = changes.get("answer")
        if answer is not None:
            text = answer if isinstance(answer, str) else json.dumps(answer)
            changed["answer"] = text.encode("utf-8", "surrogatepass")
        self._changes[product_id] = changed

    def restore(self, product_id: int) -> None:
        """Forget what was set of a product."""
        self._changes.pop(product_id, None)

    def _find(self, criteria: Criteria, step: int) -> tuple[int, ...]:
        """Return the ids of all products that match, in the search's order."""
        size, counted = self._options.products, _COUNTED.fullmatch(criteria.keyword)
        start, most = 0, _OWN_PRODUCTS if criteria.own else None
        if counted:
            start, most = zlib.crc32(counted[1].encode("utf-8", "surrogatepass")), int(counted[2])
        every = (FIRST_ID + (start + index) % size for index in range(size))
        found: Iterable[int] = islice(filter(self.exists, every), most)
        if criteria.keyword and not counted:
            part, names = criteria.keyword.casefold(), _all_names(size)
            found = (id_ for id_ in found if part in names[id_ - FIRST_ID])
        return tuple(id_ for id_ in found if self._matches(id_, criteria, step))

    def _matches(self, product_id: int, criteria: Criteria, step: int) -> bool:
        category_id = _category_of(product_id - FIRST_ID + 1).category_id
        if criteria.category_id not in (None, category_id):
            return False
        least, most = criteria.price_start, criteria.price_end
        if least is most is None:
            return True
        price = self.price(product_id, step)
        if price is None:
            return False
        return (least is None or least <= price) and (most is None or price <= most)


@cache
def _all_names(count: int) -> list[str]:
    return ["\n".join(_names_of(number)).casefold() for number in range(1, count + 1)]


def decimal_of(value: Any) -> Decimal | None:
    """Return a number or its text as an exact amount, None for anything else."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
