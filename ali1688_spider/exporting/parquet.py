"""Parquet files, typed throughout, nested fields included."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from scrapy.exporters import BaseItemExporter

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.exporting.rows import cell_text, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW_GROUP = 5_000


class ParquetFile(BaseItemExporter):
    """Writes row groups of some thousand rows; no more than one is in memory.

    Money is ``decimal(34, 18)``, which holds every price of the record exactly; times are UTC in
    milliseconds; SKUs and price tiers are lists of structures, attributes are maps. The old and
    new value of a change are exact texts, as they are money, a count or a word.

    Args:
        file: Where it goes, a binary file.
        fields_to_export: The columns; each is one of the record's or of a change's.

    Raises:
        ConfigurationError: The package pyarrow is missing.
    """

    def __init__(self, file: IO[bytes], *, fields_to_export: Sequence[str]) -> None:
        super().__init__(fields_to_export=fields_to_export)
        try:
            import pyarrow  # noqa: ICN001, PLC0415  # an optional dependency
            import pyarrow.parquet  # noqa: PLC0415
        except ImportError:
            raise ConfigurationError(
                "for .parquet the package pyarrow is missing: "
                "run pip install 'ali1688-spider[parquet]', or choose .csv"
            ) from None
        types = _types(pyarrow)
        self._schema = pyarrow.schema([(name, types[name]) for name in fields_to_export])
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema)
        self._as_table = pyarrow.Table.from_pylist
        self._rows: list[dict[str, Any]] = []

    def export_item(self, item: Any) -> None:
        """Add one row."""
        row = row_of(item)
        for name in {"old", "new"} & row.keys():
            row[name] = None if row[name] is None else cell_text(row[name])
        for part in (row, *(row.get("skus") or ())):
            if part.get("attributes") is not None:
                part["attributes"] = list(part["attributes"].items())
        self._rows.append(row)
        if len(self._rows) == ROW_GROUP:
            self._write_group()

    def finish_exporting(self) -> None:
        """Write what is left, and the file's end."""
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        self._writer.write_table(self._as_table(self._rows, schema=self._schema), ROW_GROUP)
        self._rows.clear()


def _types(pa: Any) -> dict[str, Any]:
    """Return the type of each column."""
    text, number, money = pa.string(), pa.int64(), pa.decimal128(34, 18)
    time = pa.timestamp("ms", tz="UTC")
    tiers = pa.list_(pa.struct({"min_quantity": number, "price": money}))
    sku = {
        "sku_id": number,
        "spec_id": text,
        "attributes": pa.map_(text, text),
        "price": money,
        "price_tiers": tiers,
        "stock": number,
        "image": text,
    }
    texts = "name currency unit category_name supplier status url source_api field old new"
    numbers = "product_id stock min_order_quantity category_id sku_id"
    return {
        **dict.fromkeys(texts.split(), text),
        **dict.fromkeys(numbers.split(), number),
        **dict.fromkeys(("price", "price_max"), money),
        **dict.fromkeys(("fetched_at", "first_seen_at", "changed_at", "at"), time),
        "price_tiers": tiers,
        "skus": pa.list_(pa.struct(sku)),
        "attributes": pa.map_(text, pa.list_(text)),
        "images": pa.list_(text),
        "price_private": pa.bool_(),
    }
