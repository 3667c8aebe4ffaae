"""The pages of what is collected: APIs, the record, events and keys."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AwareDatetime
from typing_extensions import is_typeddict

from ali1688_spider.exporting.rows import CHANGES, SKUS
from ali1688_spider.gateway.api import SUBJECTS, SearchApi
from ali1688_spider.gateway.catalogue import product_apis, search_apis
from ali1688_spider.items import ChangeField, PriceTier, Product, Sku
from ali1688_spider.spiders.search_arguments import SEARCH_ARGUMENTS, argument_of
from ali1688_spider.storage.changes import Change
from ali1688_spider.storage.failed_calls import FailedCall
from docs.generator.markdown import attributes, code, definitions, page, table

_NAMES = {int: "int", float: "float", str: "text", bool: "bool", Decimal: "decimal"}
_NAMES |= {datetime: "time", AwareDatetime: "time", Any: "any"}

REJECTED_ITEM = {
    "product_id": "The product; null if the response has no possible id.",
    "errors": "Every reason, in plain words.",
    "payload": "The part of the response that it is about.",
    "at": "When the response arrived (UTC).",
}
CRAWL = {
    "spider": "Name of the spider.",
    "host": "Name of the machine.",
    "pid": "Number of the process.",
    "arguments": "What `-a` said, 200 characters of each at most, without secrets.",
    "started_at": "When the crawl began (UTC).",
    "last_seen": "Renewed every 30 seconds (UTC). A crawl without an end that was not seen for 90 "
    "seconds was killed.",
    "stats": "Its [statistics](statistics.md) so far.",
    "finished_at": "When it ended (UTC); missing until then.",
    "reason": "Its [close reason](errors.md#close-reasons).",
}
SIGNATURE = (
    "`sha256=` and the HMAC-SHA256 in hex, with the key `ALI1688_WEBHOOK_SECRET`, of the "
    "timestamp, a dot and the body"
)
KEYS_IN = (
    "scheduling.keys",
    "scheduling.dupefilter",
    "quota.limits",
    "quota.breaker",
    "gateway.token_stores",
    "cache",
    "storage.failed_calls",
    "delivery.redis_stream",
    "statistics.sums",
    "watching.redis_store",
    "watching.hints",
)
"""The modules whose docstrings list keys of Redis."""


def type_name(annotation: Any) -> str:
    """Return a type in the words of the record's readers; null is said once for all fields."""
    annotation = _bare(annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        name = ", ".join(map(code, parts))
    elif origin is list:
        name = f"list of {type_name(parts[0])}"
    elif origin is dict:
        name = f"object of {type_name(parts[1])}"
    elif is_typeddict(annotation):
        name = f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    else:
        name = _NAMES[annotation]
    return name


def _bare(annotation: Any) -> Any:
    """Return a type without constraints and without None."""
    while get_origin(annotation) in (Annotated, Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return annotation


def _fields_table(model: type, *, more: dict[str, str] | None = None) -> str:
    said = attributes(model)
    later = {"ChangeField": ChangeField}  # which a module imports for types alone
    hints = get_type_hints(model, localns=later, include_extras=True)
    names = getattr(model, "model_fields", hints)
    rows = [
        (code(name), type_name(hints[name]), said[name].replace("None", "null")) for name in names
    ]
    rows += [(code(name), "", text) for name, text in (more or {}).items()]
    return table(("field", "type", "meaning"), rows)


def _documents(fields: dict[str, str]) -> str:
    return table(("field", "meaning"), [(code(name), text) for name, text in fields.items()])


def record() -> str:
    """Return the page of the record and the collections."""
    return page(
        "The record and the collections",
        """
        A product is one record: an item of Scrapy, a row of a file, a document of MongoDB.

        - What a response does not tell is null or empty, never 0 or a guess. Which fields come
          depends on the API.
        - A decimal is exact: Decimal128 in MongoDB, decimal text in files. Amounts are in CNY.
        - A time is UTC, in milliseconds; ISO 8601 in files.
        - A response older than what is stored never overwrites it. A row of a search tells little,
          and erases nothing that a detail call knew.

        ## Product

        Files have these columns in this order. In MongoDB it is a document of the collection
        `products`, and `_id` is the `product_id`.
        """,
        _fields_table(Product),
        """
        Two more fields in MongoDB are the project's own: `answer_digest`, by which an unchanged
        response is recognised, and `pending_changes`, the changes that are not published yet.
        """,
        "## Sku",
        _fields_table(Sku),
        "## PriceTier",
        _fields_table(PriceTier),
        """
        ## product_changes

        One document for each observed change; the same response handled twice adds nothing. A
        campaign that begins and ends is two changes of `promotion_price`. A product that is
        delisted is one change of `status` and one of `available`. `_id` is the `id`.
        """,
        _fields_table(Change),
        "## rejected_items\n\nResponses that failed validation, and products that MongoDB refused.",
        _documents(REJECTED_ITEM),
        """
        ## failed_calls

        Calls that were given up. Without MongoDB they are in Redis, without both in
        `.scrapy/ali1688/failed_calls.jsonl`. `scrapy failed` lists, retries and drops them.
        """,
        _fields_table(FailedCall),
        "## crawls\n\nOne document for each crawl, for `scrapy report` and the dashboard.",
        _documents(CRAWL),
        f"""
        ## Rows of files

        `scrapy export FILE --skus` has a row for each SKU, with the columns
        {", ".join(map(code, SKUS.columns))}. `attributes` is text: `颜色: 红; 尺码: 大`. A product
        without SKUs has one row, without `sku_id`.

        `scrapy export FILE --changes-since WHEN` has a row for each change, with the columns
        {", ".join(map(code, CHANGES.columns))}. `percent` is empty where no number changed.
        """,
    )


def events() -> str:
    """Return the page of what other programs receive."""
    change = Change(
        id="610000000001::price:1796040000000",
        product_id=610000000001,
        sku_id=None,
        field="price",
        old=Decimal("2.88"),
        new=Decimal("2.59"),
        percent=-10.0694,
        at=datetime(2026, 11, 30, 12, tzinfo=UTC),
    )
    example = json.dumps(change.message(), ensure_ascii=False, indent=2)
    return page(
        "Events",
        """
        What other programs receive: changes of products, and the state of the crawls.
        [Changes for your own systems](../how-to/changes.md) says how to set it up.

        ## A change

        A JSON object. Amounts are exact decimal text, times ISO 8601.
        """,
        f"```json\n{example}\n```",
        _fields_table(Change),
        """
        `min_quantity`, `old_tiers` and `new_tiers` are there only where price tiers changed. A
        delivery whose response was lost comes again: remember the ids of changes that you have
        handled.

        ## The Redis Stream

        With `REDIS_URL` and `MONGO_URI` set, each change is an entry of the stream
        `ali1688:changes`. An entry has one field, `change`: the JSON above. The stream keeps about
        the last 100,000 entries. No change is in it twice.

        ## The webhook

        With `ALI1688_WEBHOOK_URL` set, changes are posted as `{"changes": [change, …]}`, the oldest
        first. Any response 2xx means that they have arrived; all others, redirects too, have them
        posted again, in later crawls too. The changes of a product always arrive in order.
        `scrapy doctor` posts `{"test": true, "message": "…", "changes": []}`.
        """,
        table(
            ("header", "value"),
            [
                ("`Content-Type`", "`application/json`"),
                ("`X-Ali1688-Delivery`", "another one for each delivery, a repeated one too"),
                ("`X-Ali1688-Timestamp`", "when it was sent, in seconds since 1970"),
                ("`X-Ali1688-Signature`", SIGNATURE),
            ],
        ),
        """
        ## Server-sent events

        `/api/events` of `scrapy dashboard` sends events, each with a line of JSON as its data.
        """,
        table(
            ("event", "data"),
            [
                ("`state`", "the object of [`scrapy status --json`](status.md), when it changes"),
                ("`changes`", "a list of changes as above, as they are observed"),
            ],
        ),
    )


def apis() -> str:
    """Return the page of the platform's APIs."""
    parts = []
    for protocol, title in (("param2", "param2"), ("router", "router and top")):
        columns = ("API for products", "shows", "ids per call", "note")
        rows = [
            (code(api.name), api.shows, api.max_ids, _note(api))
            for api in product_apis(protocol)  # type: ignore[arg-type]
        ]
        parts += [f"## {title}", table(columns, rows)]
        columns = ("API for searches", "shows", "argument", "rows of a page", "narrowed by")
        rows = [_search_row(api) for api in search_apis(protocol)]  # type: ignore[arg-type]
        parts.append(table(columns, rows))
    return page(
        "APIs",
        """
        The platform's APIs that the project knows. The first of each list is the usual one;
        `ALI1688_PRODUCT_API` and `ALI1688_SEARCH_API` choose another one of `param2` by its whole
        name. `scrapy doctor` says which of them your app may use. A search by picture, shop and so
        on finds its API by itself.

        An API that takes several ids gets several by itself. A product that the API does not show
        to your app is not a removed product: it ends in the failed calls, with what to do.
        """,
        *parts,
    )


def _note(api: Any) -> str:
    notes = [
        (api.needs_relation, "The app needs a relation to the product."),
        (api.curated_only, "Refuses all other products."),
        (not api.is_complete, "Tells only a part of the record."),
    ]
    return " ".join(text for holds, text in notes if holds)


def _search_row(api: SearchApi) -> tuple[object, ...]:
    subject = argument_of(SUBJECTS.get(api.kind, ""))
    narrowed = [name for name in api.names if name in SEARCH_ARGUMENTS - {subject}]
    deep = f"; {api.max_rows} rows of a query" if api.max_rows else ""
    page = f"{api.max_page_size}{deep}"
    return code(api.name), api.shows, code(subject), page, ", ".join(map(code, narrowed))


def redis_key_rows() -> Iterator[tuple[str, str, str]]:
    """Yield the keys that the docstrings list, each with its type and what it holds."""
    for name in KEYS_IN:
        module = import_module(f"ali1688_spider.{name}")
        classes = [each for each in vars(module).values() if isinstance(each, type)]
        for each in (module, *classes):
            if getattr(each, "__module__", module.__name__) == module.__name__:
                for term, holds in definitions(each.__doc__ or ""):
                    key, kind = term.split("` ", 1)
                    yield f"{key}`", kind, holds


def redis_keys() -> str:
    """Return the page of the keys of Redis."""
    return page(
        "Keys of Redis",
        """
        What the project keeps in Redis. The keys of a queue are those of the spider `product`;
        `search` and `watch` have the same with their names. The braces are hash tags: the keys of
        one script are on one node of a Redis Cluster.
        [Redis with TLS and ACL](../how-to/redis.md) has the patterns that a user needs.
        """,
        table(("key", "type", "holds"), redis_key_rows()),
    )
