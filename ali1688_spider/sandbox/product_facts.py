"""What follows from a product's number (1, 2, …) alone, or from it and a step of time.

The number decides the shape of a product (:class:`Traits`), so that any hundred products in a row
show every shape that real responses have, and everything else that nobody can set: its names, its
category, its seller, its sales, its parcel, its dates. Price and stock also follow the step.
Nothing here is drawn by chance: it is the same at every run.
"""

from __future__ import annotations

from decimal import Decimal

from ali1688_spider.sandbox.category_tree import CATEGORIES, Category, Word, words

FIRST_ID = 610_000_000_001
UNLIMITED_STOCK = 2_147_483_646
BY_QUANTITY, BY_SKU, BY_QUANTITY_WITH_SKUS, BY_SKU_AND_QUANTITY = range(4)
RETAIL_EXAMPLE = 66  # has the prices of the documentation: one piece 4.80, from two 4.05
SELLERS = 500
CENT, MILLE = Decimal("0.01"), Decimal("0.001")

STYLES = words(
    "新款 new, 厂家直销 factory direct, 跨境 cross-border, 批发 wholesale, 定制 custom, "
    "ins风 ins style, 复古 retro"
)
MATERIALS = words("不锈钢 stainless steel, 硅胶 silicone, 纯棉 cotton, 实木 wooden, 亚克力 acrylic")
COLOURS = words("红色 red, 蓝色 blue, 黑色 black, 白色 white, 粉色 pink, 绿色 green")
SIZES = words("大号 large, 小号 small")
REGIONS = ("浙江 义乌", "广东 深圳", "福建 泉州", "山东 临沂", "河北 保定")
COMPANIES = ("义乌市晨星日用品有限公司", "深圳市远航电子厂", "泉州鸿达服饰", "临沂金源百货商行")
# Besides "published", without the product being gone.
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
MEASURED, DECLARED, PREDICTED = "官方测量", "商家自填", "预测"

_MASK = 2**64 - 1
_GOLDEN, _RANGE = 2_654_435_769, 2**32
_MAGNITUDES = (100, 1_000, 1_000, 10_000)
_PRICE_PERIODS = (1, 2, 3, 5, 8, 13, 34, 0)
_STOCK_PERIODS = (1, 1, 2, 5, 0)
_FIRST_DAY = 1_544_703_398  # seconds since 1970 when the first product was listed
_DAY = 86_400


def mix(*parts: int) -> int:
    """Return a 64-bit number that looks random and depends on *parts* alone."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ part) * 0xBF58476D1CE4E5B9 & _MASK
        state ^= state >> 29
    state = state * 0x94D049BB133111EB & _MASK
    return state ^ (state >> 31)


def in_share(index: int, share: float) -> bool:
    """Whether an index belongs to a share (0 to 1) of all, which is even over any range of them.

    A larger share holds a smaller one. Multiples of the golden ratio spread evenly, and so do those
    of a multiple of the index: with it, two shares have nothing to do with each other.
    """
    return index * _GOLDEN % _RANGE < share * _RANGE


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
        self.retail = number % 11 == 0  # the model of 2026: a price of one piece, others from two
        self.campaign = number % 9 == 7  # a campaign runs, with promotion prices
        self.dropship = number % 8 == 5  # it has prices of drop-shipping
        self.video = number % 3 == 1  # it has a video
        self.weighed = number % 2 == 0  # the weight and the size of its parcel are told
        self.absurd = number % 37 == 12  # its declared weight is 10,000 kg


class SandboxSales:
    """How often a product was sold, in pieces; ``repurchase`` is in percent."""

    def __init__(self, number: int) -> None:
        self.total = (mix(number, 7) >> 32) % 20_000
        self.days30, self.repurchase = self.total // 30, self.total % 40
        self.days14, self.days7 = self.days30 // 2, self.days30 // 4
        self.buyers = self.days30 // 2 + self.days30 % 2
        self.score = f"{3 + self.total % 20 / 10:.1f}"  # from 3.0 to 4.9


class SandboxSeller:
    """The seller of a product; each of :data:`SELLERS` sells every so many-th one."""

    def __init__(self, number: int) -> None:
        self.number = mix(number, 7) % SELLERS
        self.login_id = f"supplier{self.number:03d}"
        self.open_id = f"BBB{self.login_id}"
        self.company = COMPANIES[self.number % len(COMPANIES)]
        self.years = 1 + self.number % 15
        self.medal = 1 + self.number % 5
        self.is_factory = self.number % 3 == 0

    def score(self, kind: int) -> str:
        """Return the score of a kind, from 3.0 to 5.0, as the platform's text."""
        return f"{3 + mix(self.number, 10 + kind) % 21 / 10:.1f}"


class SandboxParcel:
    """What is told of a product's parcel; everything is None where nothing is.

    ``weight`` is in kg, the sizes are in cm. A measured parcel was also declared, less exactly.
    """

    def __init__(self, number: int) -> None:
        seed, traits = mix(number, 8), Traits(number)
        self.source: str | None = None
        self.weight: float | None = None
        self.length = self.width = self.height = None
        if traits.weighed:
            kinds = (MEASURED, DECLARED, PREDICTED)
            self.source = DECLARED if traits.absurd else kinds[number // 2 % 3]
            self.weight = 10_000.0 if traits.absurd else (50 + seed % 2_950) / 1000
            self.length, self.width, self.height = (
                5 + (seed >> shift) % 60 + half for shift, half in ((16, 0.0), (24, 0.5), (32, 0.0))
            )
        self.is_measured = self.source == MEASURED


def category_of(number: int) -> Category:
    """Return the leaf that the product is in."""
    return CATEGORIES[mix(number, 1) % len(CATEGORIES)]


def names_of(number: int) -> Word:
    """Return the product's name in Chinese and in English."""
    seed, nouns = mix(number, 2), category_of(number).nouns
    style, material = STYLES[seed % len(STYLES)], MATERIALS[(seed >> 8) % len(MATERIALS)]
    chinese, english = zip(style, material, nouns[(seed >> 16) % len(nouns)], strict=True)
    model = f"{chr(65 + number % 26)}-{number}"
    return f"{''.join(chinese)} {model}", f"{' '.join(english)} {model}"


def image_key(number: int) -> str:
    """Return what the names of the product's images have in common, and no other's have."""
    return f"O1CN01{number * 48_271 % 10**8:08d}"  # for each number up to 10**8 another one


def least_quantity(number: int) -> int:
    """Return how many pieces an order has at least."""
    return 1 if Traits(number).retail else (1, 2, 5, 10)[mix(number, 7) % 4]


def ships_within(number: int) -> int:
    """Return the hours within which the product is promised to be shipped: 24, 48 or 72."""
    return (24, 48, 72)[mix(number, 20) % 3]


def listed_at(number: int) -> int:
    """Return when the product was listed, in seconds since 1970."""
    return _FIRST_DAY + 977 * (number % 100_000)  # for any number, a date of these years


def modified_at(number: int) -> int:
    """Return when the product was last modified before the sandbox started, as `listed_at`."""
    return listed_at(number) + mix(number, 9) % (90 * _DAY)


def price_of(number: int, step: int) -> Decimal:
    """Return the lowest price at a step of time, in CNY."""
    if number == RETAIL_EXAMPLE:
        return Decimal("4.05")
    seed = mix(number, 3)
    smallest = _MAGNITUDES[seed % len(_MAGNITUDES)]
    base = smallest + (seed >> 8) % (9 * smallest)
    period = _PRICE_PERIODS[(seed >> 40) % len(_PRICE_PERIODS)]
    percent = 80 + mix(number, 4, step // period if period else 0) % 41
    return (Decimal(base * percent) / 10_000).quantize(MILLE if Traits(number).fine else CENT)


def stock_of(number: int, step: int) -> int:
    """Return how many are left at a step of time."""
    if Traits(number).unlimited:
        return UNLIMITED_STOCK
    period = _STOCK_PERIODS[mix(number, 5) % len(_STOCK_PERIODS)]
    return mix(number, 6, step // period if period else 0) % 5_000


def has_moved(number: int, before: int, step: int) -> bool:
    """Whether price or stock may have moved between two steps of time."""
    price = _PRICE_PERIODS[(mix(number, 3) >> 40) % len(_PRICE_PERIODS)]
    stock = _STOCK_PERIODS[mix(number, 5) % len(_STOCK_PERIODS)]
    return any(step // period != before // period for period in (price, stock) if period)


def last_step(number: int, step: int) -> int:
    """Return the step up to *step* in which price or stock last moved; 0 if they never did."""
    price = _PRICE_PERIODS[(mix(number, 3) >> 40) % len(_PRICE_PERIODS)]
    stock = _STOCK_PERIODS[mix(number, 5) % len(_STOCK_PERIODS)]
    return max(step // period * period if period else 0 for period in (price, stock))
