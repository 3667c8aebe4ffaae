"""What ``-a`` may say to the spiders that search, and what each API can search by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.api import SUBJECTS
from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.fields import told_moment
from ali1688_spider.gateway.pictures import encode_picture
from ali1688_spider.spiders.base import Arguments

if TYPE_CHECKING:
    from ali1688_spider.config import Config
    from ali1688_spider.gateway.api import SearchApi
    from ali1688_spider.gateway.calls import Value

SPIDERS_OWN = frozenset({"max_pages", "details"})
"""Arguments that no API gets."""

_FROM_1 = "a whole number from 1 on"
Amount: TypeAlias = Annotated[Decimal, Field(ge=0, lt=10**12, decimal_places=4)]
Number: TypeAlias = Annotated[int, Field(ge=1, lt=2**63)]


def _check_time(text: str) -> str:
    if told_moment(text) is None:
        raise ValueError(f"is {text!r}: set it to a time such as 2026-11-23T10:00:00+08:00")
    return text


def argument_of(subject: str) -> str:
    """Return the argument that says what a search looks for, of the parameter of its calls."""
    return "image" if subject in {"image_id", "image_url"} else subject


_SUBJECT_ARGUMENTS = [
    name for name in dict.fromkeys(map(argument_of, SUBJECTS.values())) if name != "keyword"
]
"""The arguments of which a crawl takes one; it may have a keyword as well."""


class SearchArguments(Arguments):
    """What ``-a`` may say to a spider that searches.

    Attributes:
        keyword: Words to search for.
        image: A picture, as a file or an address: finds products that look like it.
        shop: A seller, by the ``seller_id`` of a product: finds the seller's products.
        related_to: Id of a product: finds what the platform shows beside it.
        top: Id of a category: brings its ranking.
        rank: Kind of the ranking of ``top``.
        pool: Number of a product pool that the platform has made for the app.
        category_id: Id of a category: all of its products, or those that the other words find.
        price_start: Lowest price in CNY, itself included.
        price_end: Highest price in CNY, itself included.
        sort: Order within each page: ``price``, ``-price``, ``-sales`` or ``-repurchase``.
        filter: Words that the API knows, separated by commas, such as ``shipInToday``.
        modified_since: For a seller's own products: time of the change, in ISO 8601; China's time
            unless it has a zone.
        max_pages: Pages to read at most.
        details: 1 collects the whole record of each product found.
    """

    only_searches: ClassVar[bool] = True
    keyword: str | None = None
    image: str | None = None
    shop: str | None = None
    related_to: Number | None = Field(None, description="the id of a product")
    top: Number | None = Field(None, description="the id of a category")
    rank: Literal["complex", "hot", "goodPrice"] | None = Field(
        None, description="one of complex, hot, goodPrice"
    )
    pool: Number | None = Field(None, description="the number of a pool")
    category_id: Number | None = Field(None, description=_FROM_1)
    price_start: Amount | None = Field(None, description="an amount in CNY, such as 12.50")
    price_end: Amount | None = Field(None, description="an amount in CNY, such as 12.50")
    sort: str | None = None
    filter: str | None = None
    modified_since: Annotated[str, AfterValidator(_check_time)] | None = None
    max_pages: Number | None = Field(None, description=_FROM_1)
    details: int | None = Field(None, ge=0, lt=2**63, description="a whole number from 0 on")

    @property
    def query(self) -> dict[str, Value]:
        """The parameters of the search's calls, without its image; empty when there is none."""
        given = self.model_dump(include={*SEARCH_ARGUMENTS} - {"image"}, exclude_none=True)
        query = {name: f"{v:f}" if isinstance(v, Decimal) else v for name, v in given.items()}
        if "top" in query:
            query["top"] = str(query["top"])
        return query

    @property
    def has_search(self) -> bool:
        """Whether something is searched for."""
        return any(getattr(self, name) is not None for name in SEARCH_ARGUMENTS)

    @property
    def digest(self) -> str:
        """A name for the search, see :func:`digest_of`."""
        return digest_of({**self.query, "image": self.image or ""})

    @model_validator(mode="after")
    def _check_subject(self) -> Self:
        start, end = self.price_start, self.price_end
        if start is not None and end is not None and start > end:
            raise ConfigurationError("price_start is above price_end: swap them")
        subjects = [name for name in _SUBJECT_ARGUMENTS if getattr(self, name) is not None]
        if len(subjects) > 1:
            raise ConfigurationError(
                f"{subjects[0]} and {subjects[1]} are two searches: start a crawl for each"
            )
        return self

    def check_config(self, config: Config, given: Collection[str]) -> None:
        """Refuse what the API cannot search by, and a crawl that would have nothing to do."""
        has_other_work = not self.only_searches or config.redis_url or self.calls is not None
        if has_other_work and not SEARCH_ARGUMENTS & {*given}:
            return
        query = self.query
        apis = choose_apis(config.protocol, config.product_api, config.search_api)
        api = apis.serving(query | ({"image_id": "1"} if self.image else {}))
        for name in query.keys() - SPIDERS_OWN - api.names.keys():
            raise ConfigurationError(
                f"{api.name} cannot search by {name}: leave it out, or choose another API with "
                "ALI1688_SEARCH_API"
            )
        _check_word("sort", self.sort, api.sorts, api)
        for word in (self.filter or "").split(","):
            _check_word("filter", word.strip(), api.filter_words, api)
        if api.kind == "keyword" and not query.keys() & {"keyword", "category_id"}:
            raise ConfigurationError("there is nothing to search for: say -a keyword=…")
        subject = argument_of(SUBJECTS.get(api.kind, "keyword"))
        if subject != "keyword" and getattr(self, subject) is None:
            raise ConfigurationError(
                f"{api.name} searches by {subject}: say -a {subject}=…, or choose another API with "
                "ALI1688_SEARCH_API"
            )
        if self.image and "://" not in self.image:
            try:
                encode_picture(Path(self.image).read_bytes())
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise ConfigurationError(f"image {self.image!r} cannot be read: {reason}") from None


def _check_word(name: str, word: str | None, known: Collection[str], api: SearchApi) -> None:
    if word and word not in known:
        words = f"it knows {', '.join(sorted(known))}" if known else "it knows none"
        raise ConfigurationError(f"{name} is {word!r}, which {api.name} does not know: {words}")


SEARCH_ARGUMENTS = frozenset(SearchArguments.model_fields) - Arguments.model_fields.keys()


def digest_of(query: Mapping[str, Value]) -> str:
    """Return a name for a search, the same wherever the same one is asked for."""
    text = json.dumps(query, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
