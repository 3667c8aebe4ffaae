"""Product ids as people have them: bare, in the address of a product page, or in a copied text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from ali1688_spider.gateway.calls import MAX_PRODUCT_ID

ID_NAMES = (
    *("productid", "offerid", "itemid", "1688id", "1688商品id"),
    *("商品id", "产品id", "宝贝id", "货源id", "商品编号"),
)
URL_NAMES = (
    *("url", "link", "href", "producturl", "productlink", "offerurl", "detailurl", "itemurl"),
    *("链接", "网址", "商品链接", "产品链接", "宝贝链接", "货源链接", "详情链接", "1688链接"),
    *("商品网址", "商品地址"),
)
GENERIC_NAMES = ("id", "ids")
"""Names of columns as :func:`plain_name` writes them; a generic one may number rows as well."""

SURE_DIGITS = 9
"""A number of so many digits is no count and no date, whatever stands around it."""

_DIGITS = re.compile(r"[0-9]+")
# What needs no second look: digits, or one address without marks between entries.
_BARE = re.compile(r"[0-9]+|https?://[!#-&*+./0-9:=?@A-Z_a-z~%-]+")
_OFFER_PATH = re.compile(r"/offer/([0-9]+)\.html?", re.IGNORECASE)
_SITE = "1688.com"
# What editors and spreadsheets put around a line: byte order mark, zero-width, full-width space.
_AROUND = " \t\r\n\f\v\ufeff\u200b\u3000\xa0"

# How a text is made plain: full-width letters become ASCII, marks between entries a line break,
# quotes and brackets a space; what has no width goes.
_PLAIN: dict[int, int | str | None] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys(map(ord, "\t\r\v\f，；｜、。"), "\n"),
    **dict.fromkeys(map(ord, "\"'`´‘’‚‛“”„‟«»‹›「」『』〝〞＂＇\xa0\u2009\u202f\u3000"), " "),
    **dict.fromkeys(map(ord, "()[]{}<>（）［］｛｝＜＞【】〔〕《》〈〉"), " "),
    **dict.fromkeys([0, 0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F)]),
    **dict.fromkeys([*range(0x2060, 0x206A), 0xFEFF]),
}
_COMMENT = re.compile(r"(?<!\S)#.*", re.DOTALL)
_SEPARATORS = re.compile(r"[,;|\n]+")
# "1. https://…", "2）610000000001": the number of an entry in a list.
_NUMBERING = re.compile(r"^\s*[0-9]{1,4}\s?(?:[.:]\s+|[、)）：]\s*)(?=https?:|//|[0-9]{9})")
_LABEL = re.compile(r"(?<!\w)(\w{1,40})\s{0,3}[:=]\s{0,3}(?=[0-9])")
_GROUPS = re.compile(r"[0-9][,. ][0-9]")
_THOUSANDS = re.compile(
    r"(?<![\w,.])[1-9][0-9]{0,2}([,. ])[0-9]{3}(?:\1[0-9]{3})+(?![\w,]|[. ][0-9]{3}\b)"
)
_DECIMAL_COMMA = re.compile(r"(?<![\w.,])([0-9]),([0-9]+[eE]\+?[0-9]{1,3})(?!\w)")
_WHOLE = re.compile(r"([0-9]+)\.0+")
_SCIENTIFIC = re.compile(r"([1-9])(?:\.([0-9]+))?[eE]\+?([0-9]{1,3})")
_CUT = re.compile(r"0{5}\.")
_LIKE_ID = re.compile(rf"[0-9]{{{SURE_DIGITS}}}|[0-9][eE]\+?[0-9]|1688\.com", re.IGNORECASE)
# An address in a text, in ASCII. Marks between entries end its path; they end its query where an
# id or another address follows. Bounded, so that a text of any length takes linear time.
_URL = re.compile(
    r"(?:(?<![a-z])https?://|(?<![a-z0-9_:])//|(?<![a-z0-9_.@/-]))"
    r"(?:[a-z0-9_-]{1,63}\.){0,5}1688\.com(?![a-z0-9_.@-])(?::[0-9]{1,5})?"
    r"(?:/(?:(?![,;|?#])[!-~])*)?"
    r"(?:[?#](?:(?![,;|]+(?:https?:|//|[\w.-]{0,80}1688\.com|[0-9]{9}))[!-~])*)?",
    re.IGNORECASE | re.ASCII,
)


class RoundedIdError(ValueError):
    """A number that has lost digits of the id."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text[:80]!r}: Excel rounded this id: format the column as text (or 0) and save again"
        )
        self.text = text

    def may_be(self, product_id: int) -> bool:
        """Return whether *product_id*, rounded, is this number."""
        digits = len(re.sub(r"[eE].*|\.0+$|\.", "", self.text).rstrip("0")) or 1
        return float(f"{product_id:.{digits - 1}e}") == float(self.text)


class _Word(NamedTuple):
    """A part of a text, and the id in it or why there is none."""

    text: str
    found: int | ValueError
    is_url: bool = False

    @property
    def is_id(self) -> bool:
        return isinstance(self.found, int)

    @property
    def is_sure(self) -> bool:
        """Whether it can hardly be anything else than a product's id."""
        return isinstance(self.found, int) and (
            self.is_url or self.found >= 10 ** (SURE_DIGITS - 1)
        )

    @property
    def is_like_id(self) -> bool:
        """Whether it was probably meant as an id and is none."""
        return not self.is_id and bool(_LIKE_ID.search(self.text))


def product_url(product_id: int) -> str:
    """Return the address of a product's page."""
    return f"https://detail.1688.com/offer/{product_id}.html"


def parse_product_id(text: str) -> int:
    """Return the product id in *text*.

    That is a bare id (``610000000001``, in the digits 0 to 9) or an address of 1688.com, with or
    without ``https://``, that has the id in its path (``/offer/610000000001.html``) or as its
    parameter ``offerId``.

    Raises:
        ValueError: There is no product id in *text*; the message says why.
    """
    text = text.strip(_AROUND)
    digits = text if _DIGITS.fullmatch(text) else _digits_of_url(text)
    if digits is None:
        raise _neither(text)
    significant = digits.lstrip("0")
    if not significant or len(significant) > 19 or int(significant) > MAX_PRODUCT_ID:
        raise ValueError(f"{digits[:80]!r} is out of range: a product id is from 1 to 2^63 - 1")
    return int(significant)


def find_product_ids(
    text: str, *, is_cell: bool = False, is_list: bool = False
) -> list[int | ValueError]:
    """Return the ids in a line or a cell as people copy it, and why other parts are none.

    Ids and addresses may be quoted, numbered, labelled (``商品ID：610000000001``), in full-width
    digits, with ``.0`` or unambiguous thousands separators, several in a line, and an address may
    stand in a sentence. Text around an address, or in one entry with a number of 9 digits or more,
    is no mistake unless it looks like an id; shorter numbers then count only where all is numbers.
    What follows a ``#`` is a comment. In a cell (*is_cell*) ``610,123,456,789`` is one number, in a
    line four. In a list (*is_list*), where nothing but ids is meant, each entry between separators
    is judged by itself. Another text without any id has one reason, an empty one none.
    """
    content = text.strip(_AROUND)
    if _BARE.fullmatch(content) and isinstance(found := _read(content), int):
        return [found]
    segments = list(_segments(content, is_cell=is_cell))
    sure = [word.found for word in chain(*segments) if word.is_sure]
    has_url = not is_list and any(word.is_url for word in chain(*segments))
    is_prose = not is_list and not all(word.is_id for word in chain(*segments))
    entries: list[int | ValueError] = []
    for segment in segments:
        is_whole = all(word.is_id for word in segment)
        is_around = has_url or any(word.is_sure for word in segment)
        if is_whole and not (is_prose and sure):
            entries += [word.found for word in segment]
        elif is_around:
            entries += [word.found for word in segment if word.is_sure or word.is_like_id]
        elif is_list and any(word.is_id for word in segment):
            entries += [word.found for word in segment]
        else:
            entries.append(_reason(segment))
    entries = [each for each in entries if not _is_one_of(each, sure)]
    if not is_list and len(entries) > 1 and not any(isinstance(each, int) for each in entries):
        rounded = next((each for each in entries if isinstance(each, RoundedIdError)), None)
        return [rounded or _neither(content)]
    return entries


def is_like_product_id(text: str) -> bool:
    """Return whether a cell's text can hardly be anything else than ids, whole or rounded."""
    words = chain(*_segments(text, is_cell=True))
    return any(word.is_sure or isinstance(word.found, RoundedIdError) for word in words)


def plain_name(text: str) -> str:
    """Return a column's name as the names above are written: ``Product ID`` as ``productid``."""
    without_note = re.sub(r"[(（].*", "", text, flags=re.DOTALL)
    return re.sub(r"[\s_.:*-]", "", without_note.translate(_PLAIN)).lower()


def _segments(text: str, *, is_cell: bool) -> Iterator[list[_Word]]:
    """Yield the words of each entry, which separators divide."""
    plain = _NUMBERING.sub("", text).translate(_PLAIN)
    plain = _COMMENT.sub("", plain) if "#" in plain else plain
    segment: list[_Word] = []
    end = 0
    urls = _URL.finditer(plain) if "1688." in plain else ()
    for url in (*urls, None):
        numbers = _plain_numbers(plain[end : url.start() if url else None], is_cell=is_cell)
        for index, part in enumerate(_SEPARATORS.split(numbers)):
            if index and segment:
                yield segment
                segment = []
            segment += [word for each in part.split() if (word := _word(each))]
        if url:
            found = _read(url[0].rstrip(".:!?*"))
            segment.append(_Word(url[0], found, is_url=isinstance(found, int)))
            end = url.end()
    if segment:
        yield segment


def _plain_numbers(text: str, *, is_cell: bool) -> str:
    """Return *text* without labels and thousands separators, where these are unambiguous."""

    def of_label(label: re.Match[str]) -> str:
        is_known = plain_name(label[1]) in {*ID_NAMES, *GENERIC_NAMES}
        return " " if is_known else f"{label[1]}:"

    def of_number(number: re.Match[str]) -> str:
        # No id of a list begins with 0.
        is_one = is_cell or f"{number[1]}0" in number[0]
        return number[0].replace(number[1], "") if is_one else number[0]

    if ":" in text or "=" in text:
        text = _LABEL.sub(of_label, text)
    if not _GROUPS.search(text):
        return text
    return _DECIMAL_COMMA.sub(r"\1.\2", _THOUSANDS.sub(of_number, text))


def _word(text: str) -> _Word | None:
    bare = text.lstrip("•·*").rstrip(".:!?*")
    if not bare or bare == "-":
        return None
    digits, is_rounded = bare, False
    if number := _WHOLE.fullmatch(bare):
        digits = number[1]
        is_rounded = len(digits) >= SURE_DIGITS and bool(_CUT.search(bare))
    elif number := _SCIENTIFIC.fullmatch(bare):
        places, fraction = int(number[3]), number[2] or ""
        if len(fraction.rstrip("0")) <= places:
            digits = number[1] + fraction[:places]
            is_rounded = len(fraction) < places
    return _Word(text, RoundedIdError(bare) if is_rounded else _read(digits))


def _read(text: str) -> int | ValueError:
    try:
        return parse_product_id(text)
    except ValueError as error:
        return error


def _is_one_of(found: int | ValueError, ids: list[int | ValueError]) -> bool:
    """Return whether *found* is one of these ids, rounded."""
    return isinstance(found, RoundedIdError) and any(
        isinstance(each, int) and found.may_be(each) for each in ids
    )


def _reason(segment: list[_Word]) -> ValueError:
    reasons = [word.found for word in segment if isinstance(word.found, ValueError)]
    if rounded := [each for each in reasons if isinstance(each, RoundedIdError)]:
        return rounded[0]
    if len(segment) == 1 and reasons:
        return reasons[0]
    return _neither(" ".join(word.text for word in segment))


def _neither(text: str) -> ValueError:
    return ValueError(f"{text[:80]!r} is neither a product id nor a product's URL on {_SITE}")


def _digits_of_url(text: str) -> str | None:
    try:
        url = urlsplit(text if "//" in text else f"//{text}", scheme="https")
        host = url.hostname or ""
    except ValueError:  # brackets in the host that are no IPv6 address
        return None
    if url.scheme not in ("http", "https") or not f".{host}".endswith(f".{_SITE}"):
        return None
    if match := _OFFER_PATH.fullmatch(url.path):
        return match[1]
    offer_ids = [value for name, value in parse_qsl(url.query) if name.lower() == "offerid"]
    return next(filter(_DIGITS.fullmatch, offer_ids), None)
