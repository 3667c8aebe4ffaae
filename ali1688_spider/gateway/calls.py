"""A call of the platform's API, as the spiders want it and as the queue holds it.

A call says *what* is wanted (a product, a page of a search), not how: the URL, the parameters'
names on the wire and the signature are made by the worker that sends it, from its own settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.gateway.fields import told_moment

Operation: TypeAlias = Literal["product", "search"]
"""What a queue may hold."""
Value: TypeAlias = int | str
OPERATIONS: frozenset[Operation] = frozenset(get_args(Operation))

MAX_PRODUCT_ID = 2**63 - 1
MAX_MESSAGE_BYTES = 4096

_SEARCH_PARAMS: dict[str, type[int | str]] = {
    "keyword": str,
    "category_id": int,
    "price_start": str,  # CNY, decimal text: exact, and the same text always means the same call
    "price_end": str,
    "sales_start": int,  # pieces sold in 30 days
    "sales_end": int,
    "sort": str,
    "filter": str,
    # What a search looks for instead of a keyword, see ``api.SUBJECTS``.
    "image_id": str,
    "image_url": str,
    "shop": str,
    "related_to": int,
    "top": str,
    "rank": str,
    "pool": int,
    "task_id": str,  # the same on all pages of a pool
    "modified_since": str,  # ISO 8601
    "page": int,  # from 1
    "page_size": int,
    # What the spider carries from page to page.
    "first_id": int,  # first product of page 1, to notice an API that answers page 1 for ever
    "max_pages": int,
    "search_id": str,  # which search a page belongs to; the first page begins it, and has none
    "look": int,  # 1: a page that a watch looks at again and again
    "details": int,  # 1: collect each product found, 0: the rows are enough
}
_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,4})?")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One call: an operation and its parameters.

    Attributes:
        operation: ``product`` (parameter ``product_id``, or ``product_ids`` between commas for
            several products), ``search`` (``_SEARCH_PARAMS``), or ``service`` (a ServiceCall).
        params: The parameters; integers and strings only, none of them empty.
    """

    operation: Operation | Literal["service"]
    params: Mapping[str, Value] = field(hash=False)

    @classmethod
    def product(cls, product_id: int) -> ApiCall:
        """Return the call for the details of one product."""
        return cls("product", {"product_id": product_id})

    @classmethod
    def products(cls, product_ids: Iterable[int]) -> ApiCall:
        """Return the call for the details of several products; a queue holds them one by one."""
        several = ",".join(map(str, product_ids))
        return (
            cls("product", {"product_ids": several})
            if "," in several
            else cls.product(int(several))
        )

    @property
    def product_ids(self) -> tuple[int, ...]:
        """The products that the call is for; none for a search."""
        if self.operation != "product":
            return ()
        ids = self.params.get("product_ids", self.params.get("product_id", ""))
        return tuple(map(int, str(ids).split(",")))

    @classmethod
    def search(cls, **params: Value) -> ApiCall:
        """Return the call for one page of a search."""
        return cls("search", params)

    def encode(self) -> str:
        """Return the call as the shortest JSON text; equal calls have equal texts.

        A product is its bare number (12 bytes instead of 50): queues hold millions of them.
        """
        if self.operation == "product":
            return ",".join(map(str, self.product_ids))
        call = {"api": self.operation, "params": dict(self.params)}
        return json.dumps(call, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    @classmethod
    def decode(cls, message: str | bytes) -> ApiCall:
        """Return the call of :meth:`encode`'s text; MalformedMessageError for any other."""
        if len(message) > MAX_MESSAGE_BYTES:
            raise MalformedMessageError(f"longer than {MAX_MESSAGE_BYTES} bytes")
        try:
            data = json.loads(message)
        except (ValueError, RecursionError) as error:
            raise MalformedMessageError("not JSON") from error
        if isinstance(data, int) and not isinstance(data, bool):
            return cls("product", _product_params({"product_id": data}))
        if not isinstance(data, dict) or set(data) != {"api", "params"}:
            raise MalformedMessageError("neither a number nor an object of 'api' and 'params'")
        operation, params = data["api"], data["params"]
        if operation not in OPERATIONS or not isinstance(params, dict):
            raise MalformedMessageError("no call that this project makes")
        check = _product_params if operation == "product" else _search_params
        return cls(operation, check(params))

    def __hash__(self) -> int:
        return hash(self.encode())

    def __str__(self) -> str:
        if len(self.product_ids) > 1:
            return f"product(product_id={self.product_ids[0]} and {len(self.product_ids) - 1} more)"
        shown = ", ".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.operation}({shown})"


@dataclass(frozen=True, slots=True)
class ServiceCall(ApiCall):
    """A call for something else than products, made at once by the one who needs its response.

    No queue holds it: its operation is none of :data:`OPERATIONS`, so that :meth:`ApiCall.decode`
    refuses it.

    Attributes:
        api: Name of the API, as the catalogue's are written; ``params`` are those on the wire.
    """

    api: str = ""

    @classmethod
    def of(cls, api: str, **params: Value) -> ServiceCall:
        """Return the call of an API with these parameters."""
        return cls("service", params, api)

    def __hash__(self) -> int:
        return hash((self.api, *self.params.items()))

    def __str__(self) -> str:
        return self.api


def _product_params(params: dict[str, object]) -> dict[str, Value]:
    product_id = params.get("product_id")
    if set(params) != {"product_id"} or type(product_id) is not int:
        raise MalformedMessageError("a product call has one parameter, an integer product_id")
    if not 0 < product_id <= MAX_PRODUCT_ID:
        raise MalformedMessageError("the product_id is not a positive 64-bit integer")
    return {"product_id": product_id}


def _search_params(params: dict[str, object]) -> dict[str, Value]:
    checked: dict[str, Value] = {}
    for name, value in params.items():
        expected = _SEARCH_PARAMS.get(name)
        if expected is None:
            raise MalformedMessageError("a search call has a parameter that no search knows")
        if not isinstance(value, expected) or isinstance(value, bool) or value == "":
            raise MalformedMessageError(f"the search parameter {name} has a wrong value")
        if isinstance(value, int) and not 0 <= value <= MAX_PRODUCT_ID:
            raise MalformedMessageError(f"the search parameter {name} is out of range")
        if name.startswith("price_") and not _DECIMAL.fullmatch(str(value)):
            raise MalformedMessageError(f"the search parameter {name} is not an amount")
        if name == "modified_since" and told_moment(value) is None:
            raise MalformedMessageError(f"the search parameter {name} is not a time")
        checked[name] = value
    if checked.get("page", 0) == 0 or checked.get("page_size", 0) == 0:
        raise MalformedMessageError("a search call needs a page and a page_size, from 1")
    return checked
