"""What an entry of the catalogue says of an API that brings products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ali1688_spider.gateway import fields as reading

if TYPE_CHECKING:
    from ali1688_spider.gateway.calls import Value
    from ali1688_spider.gateway.fields import Fields
    from ali1688_spider.gateway.parsing import SearchPage

Country: TypeAlias = Literal["en", "ja", "ko", "ru", "vi", "es", "fr", "pt", "th", "id", "ar"]
"""Languages of the platform's translations."""

SearchKind: TypeAlias = Literal[
    "keyword", "image", "picture", "shop", "recommended", "related", "top", "pool", "own"
]
SUBJECTS: dict[SearchKind, str] = {
    "keyword": "keyword",
    "image": "image_id",
    "picture": "image_url",
    "shop": "shop",
    "related": "related_to",
    "top": "top",
    "pool": "pool",
}
"""The parameter that says what a search of a kind looks for; the other kinds look for all."""

_NO_FILTERS = frozenset(SUBJECTS.values()) - {"keyword"} | {"page", "page_size", "modified_since"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """An API.

    Attributes:
        shows: Which products it brings, and to whom, for people who choose an API.
        names: The parameters of a call that it knows, with their names on the wire.
        fixed: Further parameters on the wire.
        within: The parameter on the wire that holds all others as an object; empty for none.
        language: The parameter that chooses the language of the translations; empty for none.
    """

    name: str
    shows: str
    names: Mapping[str, str]
    fixed: Mapping[str, object] = field(default_factory=dict)
    within: str = ""
    language: str = ""

    def parameters(
        self, params: Mapping[str, Value | list[int]], country: Country = "en"
    ) -> dict[str, object]:
        """Return the parameters of a call on the wire."""
        wired: dict[str, object] = dict(self.fixed)
        if self.language:
            wired[self.language] = country
        known = {name: value for name, value in params.items() if name in self.names}
        wired |= {self.names[name]: self._wired(name, value) for name, value in known.items()}
        return {self.within: wired} if self.within else wired

    def _wired(self, name: str, value: Value | list[int]) -> object:
        """Return a parameter's value as the API has it."""
        return reading.platform_time(str(value)) if name == "modified_since" else value


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductApi(Api):
    """An API that brings given products.

    Attributes:
        find: Finds the products in the data.
        read: Reads one of them as fields of the record.
        max_ids: How many products one call may ask for.
        needs_relation: It shows only products that the app has a relation to.
        curated_only: It shows only products of the curated pool (精选货源).
        is_complete: Whether it tells the whole record, so that what it lacks is unknown.
    """

    find: Callable[[Any], list[Any]]
    read: Callable[[dict[str, Any]], Fields]
    max_ids: int = 1
    needs_relation: bool = False
    curated_only: bool = False
    is_complete: bool = True

    def products(self, data: Any, *, description: bool = False) -> list[tuple[Fields, Any]]:
        """Return each product in the data: its fields, and itself as it came.

        With *description* also the HTML of the product's page.
        """
        found = []
        for product in self.find(data):
            fields = self.read(product)
            if description and (html := reading.told_text(product.get("description"))):
                fields["description"] = html
            found.append((fields, product))
        return found

    def parse(self, data: Any, *, description: bool = False) -> Fields:
        """Return the fields of the one product in the data; none if there is none."""
        products = self.products(data, description=description)
        return products[0][0] if products else {}

    def _wired(self, name: str, value: Value | list[int]) -> object:  # noqa: ARG002  # as the base has it
        ids = value if isinstance(value, list) else [value]
        return ids if self.max_ids > 1 else ids[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchApi(Api):
    """An API that returns a page of products.

    Attributes:
        kind: What it searches by.
        parse: Reads the data.
        max_page_size: The most rows that a page may have.
        max_rows: How many rows deep one query reaches; 0 for no known limit.
        sorts: The orders that it knows, with their words on the wire.
        filter_words: The words of its parameter ``filter``; several are joined by commas.
    """

    kind: SearchKind
    parse: Callable[[Any], SearchPage]
    max_page_size: int = 20
    max_rows: int = 0
    sorts: Mapping[str, str] = field(default_factory=dict)
    filter_words: frozenset[str] = frozenset()

    def parameters(
        self, params: Mapping[str, Value | list[int]], country: Country = "en"
    ) -> dict[str, object]:
        """Return the parameters of a call on the wire."""
        wired = super(SearchApi, self).parameters(params, country)
        query: Any = wired[self.within] if self.within else wired
        if {"saleStart", "saleEnd"} <= query.keys():
            sales = {name: query.pop(name) for name in ("saleStart", "saleEnd")}
            query["saleFilterList"] = [{"saleType": "sales30", **sales}]
        return wired

    @property
    def filters(self) -> frozenset[str]:
        """The words, ranges and orders by which the API can narrow a search."""
        return frozenset(self.names) - _NO_FILTERS

    def _wired(self, name: str, value: Value | list[int]) -> object:
        if name == "sort":
            return self.sorts.get(str(value), value)
        return reading.platform_time(str(value)) if name == "modified_since" else value
