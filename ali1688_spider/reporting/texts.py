"""The page's texts in English and Chinese, in one table."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable
from typing import NamedTuple

from markupsafe import Markup, escape

CHINESE = {
    # Title and summary
    "Prices and stock, {start} to {end}": "价格与库存，{start} 至 {end}",
    "Prices and stock since {since}": "{since}以来的价格与库存",
    "{time} (UTC)": "{time} (UTC) ",
    "Language": "语言",
    "No product is stored yet; scrapy crawl product collects some.": (
        "还没有保存任何商品；用 scrapy crawl product 采集。"
    ),
    "{n} product|{n} products": "{n} 个商品",
    "Of {products} {cheaper} became cheaper and {dearer} dearer.": (
        "{products}中，{cheaper} 个降价，{dearer} 个涨价。"
    ),
    "Of {products} none has another price than on {since}.": (
        "{products}的价格与{since}相比均无变化。"
    ),
    "The biggest drop: {name} ({id}), from {old} to {new} ({percent}).": (
        "跌幅最大：{name}（{id}），由 {old} 降至 {new}（{percent}）。"
    ),
    "The biggest rise: {name} ({id}), from {old} to {new} ({percent}).": (
        "涨幅最大：{name}（{id}），由 {old} 涨至 {new}（{percent}）。"
    ),
    "product": "商品",
    "{count} sold out": "{count} 个售罄",
    "{count} came back in stock": "{count} 个恢复有货",
    "{count} went off sale": "{count} 个下架",
    "{count} came back on sale": "{count} 个重新上架",
    "{count} disappeared from the platform": "{count} 个从平台消失",
    "{first} and {last}.": "{first}，{last}。",
    "{first}, {then}": "{first}，{then}",
    "{what}.": "{what}。",
    "None sold out, came back in stock or disappeared.": "没有商品售罄、恢复有货或消失。",
    "{n} product began a promotion|{n} products began a promotion": "{n} 个商品开始促销",
    "{n} ended one": "{n} 个结束促销",
    "products stored": "已保存商品",
    "collected": "已采集",
    "new": "新增",
    "changed": "有变化",
    "cheaper": "降价",
    "dearer": "涨价",
    "sold out": "售罄",
    "out of stock": "无库存",
    "not for sale": "不可购买",
    # How fresh the data is
    "Report made: {time}.": "报告生成：{time}。",
    "Newest observation shown: {time}.": "所示最新数据：{time}。",
    "Oldest observation shown: {time}.": "所示最早数据：{time}。",
    "{n} product was not seen in this time.|{n} products were not seen in this time.": (
        "{n} 个商品在此期间未被采集。"
    ),
    "All products were seen in this time.": "所有商品在此期间均已采集。",
    "{local} ({zone}), {china} China time": "{local}（{zone}），北京时间 {china}",
    "{china} China time": "北京时间 {china}",
    # Charts by day or hour
    "Day by day": "逐日变化",
    "Hour by hour": "逐时变化",
    "Prices: dearer above the line, cheaper below": "价格：线上为涨价，线下为降价",
    "Products whose stock changed": "库存有变化的商品",
    "Products by the day they were last collected": "商品最后采集的日期",
    "Products by the hour they were last collected": "商品最后采集的时段",
    "{when}: {up} dearer, {down} cheaper": "{when}：{up} 个涨价，{down} 个降价",
    "{when}: {up}": "{when}：{up}",
    "at most {count} a day": "每日最多 {count}",
    "at most {count} an hour": "每小时最多 {count}",
    "The numbers": "数字",
    "Products by day": "每日商品数",
    "Products by hour": "每小时商品数",
    "Day (UTC)": "日期 (UTC)",
    "Hour (UTC)": "时段 (UTC)",
    "Cheaper": "降价",
    "Dearer": "涨价",
    "Stock changed": "库存变化",
    "Any change": "任何变化",
    "Collected last": "最后采集",
    # Tables of products
    "Biggest price changes": "最大的价格变化",
    "Biggest drops": "跌幅最大",
    "Biggest rises": "涨幅最大",
    "Off sale and promotions": "下架与促销",
    "Went off sale": "已下架",
    "Promotions that began": "开始的促销",
    "Promotions that ended": "结束的促销",
    "{title}: {shown} of {count}": "{title}：{count} 个中的 {shown} 个",
    "{title}: none.": "{title}：无。",
    "Name": "名称",
    "Percent": "幅度",
    "Before": "之前",
    "Now": "现在",
    "Difference": "差额",
    "Stock": "库存",
    "Changes": "变化次数",
    "Product": "商品编号",
    "Supplier": "供应商",
    "When (UTC)": "时间 (UTC)",
    "Status": "状态",
    "Promotion price": "促销价",
    "List price now": "现标价",
    "Filter “{title}”": "筛选“{title}”",
    "unlimited": "不限",
    "{percent} %": "{percent}%",
    "less than {percent} %": "不到 {percent}%",
    # Curves
    "Price and stock over time": "价格与库存走势",
    "Not stored: {ids}.": "未保存：{ids}。",
    "No product to show.": "没有可显示的商品。",
    "Price": "价格",
    "{title} now {now}": "{title}现为 {now}",
    "{title} now {now}, lowest {lowest}, highest {highest}": (
        "{title}现为 {now}，最低 {lowest}，最高 {highest}"
    ),
    "From {time} (UTC): price {price}, stock {stock}": (
        "自 {time} (UTC)：价格 {price}，库存 {stock}"
    ),
    "{price}. {stock}.": "{price}。{stock}。",
    "The values": "数值",
    "From (UTC)": "起始 (UTC)",
    "{title}: {shown} of {count} values": "{title}：{count} 个数值中的 {shown} 个",
    # Crawls
    "Crawls": "采集任务",
    "The last {shown} of {count} crawls": "{count} 次采集中的最近 {shown} 次",
    "No crawl ended in this time.": "此期间没有采集任务结束。",
    "{n} crawl|{n} crawls": "{n} 次采集",
    "{n} call|{n} calls": "{n} 次调用",
    "{crawls} made {calls}.": "{crawls}共 {calls}。",
    "{crawls} made {calls}; the quota allows {quota} a day.": (
        "{crawls}共 {calls}；每日配额 {quota} 次。"
    ),
    "{n} response came from the cache.|{n} responses came from the cache.": "{n} 次响应来自缓存。",
    "No call failed.": "没有调用失败。",
    "{n} response was an error|{n} responses were errors": "{n} 次响应出错",
    "{errors} ({share})": "{errors}（{share}）",
    "{n} call was tried again|{n} calls were tried again": "{n} 次调用重试",
    "{errors}, {retries}, {count} given up.": "{errors}，{retries}，{count} 次放弃。",
    "Calls waited {time} for the quota.": "调用等待配额共 {time}。",
    "{seconds} s": "{seconds} 秒",
    "{minutes} min": "{minutes} 分钟",
    "{hours} h {minutes} min": "{hours} 小时 {minutes} 分钟",
    "Errors": "错误",
    "Class": "类别",
    "Responses": "响应次数",
    "Share": "占比",
    "Ended (UTC)": "结束 (UTC)",
    "Spider": "爬虫",
    "Took": "用时",
    "Reason": "原因",
    "Calls": "调用",
    "Stored": "已保存",
    "Changed": "有变化",
    "Unchanged": "无变化",
    "Rejected": "未通过校验",
    "Retries": "重试",
    "Given up": "放弃",
    "Waited": "等待",
    # What the numbers mean
    "Times are UTC unless another is named.": "除另有注明外，时间均为 UTC。",
    "Prices are CNY: a product's price is its lowest unit price.": (
        "价格单位为人民币；商品价格指其最低单价。"
    ),
    "A price change is the difference between the beginning and the end of the time shown.": (
        "价格变化指所示期间始末之差。"
    ),
    "Private prices are left out.": "不含私密价格。",
}
"""Each English text in Chinese.

``{n}`` counts what the text names; where English has another form for one, it stands before ``|``.
"""


class Text(NamedTuple):
    """A text in both languages; a template makes of it what the page's switch can translate."""

    en: str
    zh: str

    def __html__(self) -> str:
        return escape(self.en) if self.en == self.zh else self.element("span")

    def element(self, tag: str) -> Markup:
        """Return an element that holds this text only."""
        return Markup('<{0} data-zh="{1.zh}">{1.en}</{0}>').format(tag, self)

    @property
    def label(self) -> Markup:
        """The attributes by which an element is labelled with this text."""
        return Markup('aria-label="{0.en}" data-zh-label="{0.zh}"').format(self)


_tables = ChainMap(CHINESE)


def add_texts(table: dict[str, str]) -> None:
    """Let :func:`text` know those of further pages, in a table like :data:`CHINESE`."""
    _tables.maps.append(table)


def text(english: str, **values: Text | str | int) -> Text:
    """Return a text of the table with *values* filled in; numbers get their commas."""
    chinese = _tables[english]
    if "|" in english:
        one, many = english.split("|")
        english = one if values["n"] == 1 else many
    return Text(
        *(
            pattern.format_map({name: _in_language(value, n) for name, value in values.items()})
            for n, pattern in enumerate((english, chinese))
        )
    )


def _in_language(value: Text | str | int, number: int) -> str:
    if isinstance(value, Text):
        return value[number]
    return value if isinstance(value, str) else f"{value:,}"


def sentences(texts: Iterable[Text]) -> Text:
    """Return one text of several sentences."""
    each = list(texts)
    return Text(" ".join(one.en for one in each), "".join(one.zh for one in each))
