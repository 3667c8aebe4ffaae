"""The product record: what spiders yield, pipelines check and stores keep."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    with_config,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic asks for this one below Python 3.12

ChangeField: TypeAlias = Literal["price", "stock", "status", "name", "promotion_price", "available"]
CHANGE_FIELDS: tuple[ChangeField, ...] = get_args(ChangeField)
"""The fields whose changes are kept and brought to others."""

PUBLISHED = "published"
"""The only status of a product that can be bought."""

REMOVED = "removed"
"""The status of a product of which the platform says that it is gone."""

KEY_PATTERN = r"^[^\x00]*$"  # BSON ends a key with NUL
URL_PATTERN = r"^https?://[A-Za-z0-9.-]+(:[0-9]+)?([/?#]\S*)?$"


@dataclass(slots=True)
class ParsedProduct:
    """A response of the platform about one product, parsed but not yet checked.

    Attributes:
        fields: The record's fields that the response has; values as lenient as the platform.
            Without any field but ``product_id`` there is no product in it.
        payload: The part of the response that the fields come from, as it came.
        source_api: Name of the API that was called.
        fetched_at: When the response arrived (UTC).
        complete: False for a row of a search, which has only some of the record's fields; fields
            that a complete response lacks are unknown from then on.
    """

    fields: dict[str, Any]
    payload: Any = field(repr=False)
    source_api: str
    fetched_at: datetime
    complete: bool = True

    @property
    def product_id(self) -> Any:
        """What the response says, or was asked for."""
        return self.fields.get("product_id")

    def __str__(self) -> str:
        return f"product {reprlib.repr(self.product_id)} by {self.source_api}"


def _utc_milliseconds(moment: datetime) -> datetime:
    # MongoDB keeps milliseconds; a record read back equals the one that was stored.
    return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)


# Any constraint on a str makes pydantic look for lone surrogates, which no encoding can store.
Text = Annotated[str, StringConstraints(strip_whitespace=True)]
FullText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Key = Annotated[str, StringConstraints(pattern=KEY_PATTERN)]
Url = Annotated[str, StringConstraints(pattern=URL_PATTERN)]
Identifier = Annotated[int, Field(gt=0, lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Score = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# 16 digits before the point and 18 behind it: the 34 that Decimal128 holds exactly.
Price = Annotated[Decimal, Field(ge=0, lt=10**16, decimal_places=18)]
Moment = Annotated[AwareDatetime, AfterValidator(_utc_milliseconds)]

_STRICT = ConfigDict(strict=True, extra="forbid")


@with_config(_STRICT)
class PriceTier(TypedDict):
    """The list price of one piece from a quantity upwards.

    Attributes:
        min_quantity: Pieces from which the price holds.
        price: Price of one piece in CNY.
    """

    min_quantity: Identifier
    price: Price


def _ascending(tiers: list[PriceTier]) -> list[PriceTier]:
    if any(low["min_quantity"] >= high["min_quantity"] for low, high in pairwise(tiers)):
        raise PydanticCustomError("tiers_order", "not in ascending order of min_quantity")
    return tiers


PriceTiers = Annotated[list[PriceTier], AfterValidator(_ascending)]


@with_config(_STRICT)
class Sku(TypedDict):
    """One variant of a product; what is unknown is None or empty.

    Attributes:
        sku_id: The platform's number of the SKU.
        spec_id: Its number in orders.
        attributes: What tells it from the others, such as ``{"颜色": "红"}``.
        price: List price of one piece in CNY.
        price_tiers: List prices by quantity.
        stock: Pieces on sale.
        image: Absolute address.
        retail_price: As the product's.
        promotion_price: As the product's.
        dropship_price: As the product's.
        cargo_number: The seller's own number of the SKU.
    """

    sku_id: Identifier | None
    spec_id: FullText | None
    attributes: dict[Key, Text]
    price: Price | None
    price_tiers: PriceTiers
    stock: Count | None
    image: Url | None
    retail_price: Price | None
    promotion_price: Price | None
    dropship_price: Price | None
    cargo_number: Text | None


class Product(BaseModel):
    """The product record; ``model_fields_set`` says which fields a response has.

    Attributes:
        product_id: The platform's number of the product.
        name: Its title. None only where a response may lack it: of a row of a search, a removed
            product.
        price: Lowest list price of one piece in CNY; None when private or unknown. No campaign
            changes it.
        stock: Pieces on sale; 2147483646 is the platform's word for "unlimited".
        price_max: Highest list price of one piece in CNY.
        currency: Always ``CNY``.
        price_tiers: List prices by quantity for the whole product; empty when each SKU has its own.
        unit: What is counted, such as ``件``.
        min_order_quantity: Pieces that must be ordered at least.
        skus: The variants, see below.
        attributes: The values of each attribute, by its name.
        images: Absolute addresses. The one image of a row of a search is stored only of a product
            that is new, since others may have more: it is not among the fields that are set.
        category_id: Id of the lowest category.
        category_name: Its name.
        supplier: Name of the seller's company.
        status: The platform's word, such as ``published``, or ``removed`` when it says that the
            product is gone.
        url: Address of the product's page.
        source_api: The API that the response came from.
        fetched_at: When the response arrived (UTC, in milliseconds, as all times here).
        first_seen_at: When the product was first stored; set by the store.
        changed_at: When a change was last seen; set by the store.
        price_private: The seller shows prices to chosen buyers only: no price is in the record.
            Exports leave such products out unless asked for them.
        available: Whether it can be bought, whatever stock is told: its status is ``published``.
            None when no status is told.
        retail_price: Price of one piece in CNY, where the wholesale price holds from two on.
        promotion_price: The lowest price of a campaign in CNY. None when there is no campaign,
            and not set by responses that cannot tell.
        dropship_price: Price of one piece in CNY that is sent to the buyer's own customer.
        sales_total: Pieces sold so far.
        sales_30d: Pieces sold in 30 days.
        repurchase_rate: Part of its buyers who bought again, from 0 to 1.
        trade_score: The platform's score of the product, up to 5.
        weight_g: Weight of one piece in grams, by the most trustworthy source.
        weight_source: Who says so: the platform measured it, the seller declared it, or the
            platform predicts it.
        weight_suspect: The weight is too large to be true (above 200 kg).
        length_cm: Length of the packed piece in cm.
        width_cm: Its width in cm.
        height_cm: Its height in cm.
        ship_from: Where it is sent from.
        seller_id: The platform's encrypted id of the seller, else the login id.
        seller_scores: The seller's scores by the platform's names for them; percentages as parts.
        videos: Absolute addresses.
        name_translated: The name in the language of ``ALI1688_COUNTRY``.
        attributes_translated: The attributes in that language.
        category_path: Ids of the categories, from the top.
        cargo_number: The seller's own number of the product.
        batch_number: Pieces in a batch, where only whole batches are sold.
        listed_at: When the platform first showed it (UTC).
        modified_at: When the seller last changed it (UTC).
        description: HTML of the product's page; only on request (``-a description=1``).
        image_files: Where downloaded pictures are, by address (``-a images=1``).
    """

    model_config = _STRICT

    product_id: Identifier
    name: FullText | None = None
    price: Price | None = None
    stock: Count | None = None
    price_max: Price | None = None
    currency: Literal["CNY"] = "CNY"
    price_tiers: PriceTiers = []
    unit: Text | None = None
    min_order_quantity: Count | None = None
    skus: list[Sku] = []
    attributes: dict[Key, list[Text]] = {}
    images: list[Url] = []
    category_id: Identifier | None = None
    category_name: Text | None = None
    supplier: Text | None = None
    status: FullText | None = None
    url: Url | None = None
    source_api: FullText
    fetched_at: Moment
    first_seen_at: Moment | None = None
    changed_at: Moment | None = None
    price_private: bool = False
    available: bool | None = None
    retail_price: Price | None = None
    promotion_price: Price | None = None
    dropship_price: Price | None = None
    sales_total: Count | None = None
    sales_30d: Count | None = None
    repurchase_rate: Share | None = None
    trade_score: Score | None = None
    weight_g: Identifier | None = None
    weight_source: Literal["measured", "declared", "predicted"] | None = None
    weight_suspect: bool | None = None
    length_cm: Length | None = None
    width_cm: Length | None = None
    height_cm: Length | None = None
    ship_from: Text | None = None
    seller_id: FullText | None = None
    seller_scores: dict[Key, Score] = {}
    videos: list[Url] = []
    name_translated: Text | None = None
    attributes_translated: dict[Key, list[Text]] = {}
    category_path: list[Identifier] = []
    cargo_number: Text | None = None
    batch_number: Count | None = None
    listed_at: Moment | None = None
    modified_at: Moment | None = None
    description: Text | None = None
    image_files: dict[Url, Text] = {}

    @field_validator("price_max")
    @classmethod
    def _not_below_price(cls, price_max: Decimal | None, info: ValidationInfo) -> Decimal | None:
        price = info.data.get("price")
        if price is not None and price_max is not None and price_max < price:
            raise PydanticCustomError("price_order", "below the lowest price")
        return price_max
