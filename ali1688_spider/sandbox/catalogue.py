"""The products that exist: which, what they cost now, and what was set from outside."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from ali1688_spider.sandbox.generation import make_product, price_of
from ali1688_spider.sandbox.products import FIRST_ID, Product, Traits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ali1688_spider.sandbox.clock import Clock
    from ali1688_spider.sandbox.options import Options

_TOO_LARGE = 10**15  # beyond, tiers and SKUs could not be priced with exact digits
_CHANGEABLE = frozenset({"name", "price", "stock", "status", "removed", "answer"})


class Catalogue:
    """The products of the sandbox.

    Attributes:
        revision: Part of the key of whatever is cached; rises with every change from outside.
    """

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._changes: dict[int, dict[str, Any]] = {}
        self.revision = 0

    @property
    def size(self) -> int:
        """How many products there are, those that are gone included."""
        return self._options.products

    def step(self) -> int:
        """Return the current step of time, by which prices and stock are made."""
        seconds = self._options.drift
        return self._options.step + (int(self._clock.now() // seconds) if seconds else 0)

    def exists(self, product_id: int) -> bool:
        """Whether there is such a product and it is not gone."""
        changes = self._changes.get(product_id)
        if changes is not None:
            return not changes.get("removed", False)
        number, removed = product_id - FIRST_ID + 1, self._options.removed
        return 0 < number <= self.size and not (removed and number % removed == 0)

    def product(self, product_id: int, step: int) -> Product:
        """Return a product that exists, as it is at a step of time."""
        return make_product(product_id - FIRST_ID + 1, step, self._changes.get(product_id, {}))

    def price(self, product_id: int, step: int) -> Decimal | None:
        """Return the lowest price at a step of time; None when it is private or no amount."""
        number = product_id - FIRST_ID + 1
        if Traits.of(number).private:
            return None
        changes = self._changes.get(product_id)
        price = changes["price"] if changes and "price" in changes else price_of(number, step)
        return price if isinstance(price, Decimal) else None

    def answer(self, product_id: int) -> bytes | None:
        """Return the body that was set for a product, None when none was."""
        changes = self._changes.get(product_id)
        return changes.get("answer") if changes else None

    def change(self, product_id: int, changes: Mapping[str, Any]) -> None:
        """Set fields of a product; it exists from then on, unless it is set to be removed.

        Args:
            product_id: The product.
            changes: Any of ``name``, ``price``, ``stock``, ``status`` (any JSON value),
                ``removed`` (a boolean), ``answer`` (the whole body: a text as it is, anything else
                as JSON; None for the usual one).

        Raises:
            ValueError: A name is unknown or ``removed`` is no boolean.
        """
        unknown = set(changes) - _CHANGEABLE
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} cannot be set of a product")
        if not isinstance(changes.get("removed", False), bool):
            raise ValueError("removed is true or false")  # noqa: TRY004  # one kind for the caller
        converted = dict(changes)
        if "price" in changes:
            converted["price"] = _amount(changes["price"])
        if "answer" in changes:
            converted["answer"] = _body(changes["answer"])
        self._changes[product_id] = {
            **self._changes.get(product_id, {"removed": False}),
            **converted,
        }
        self.revision += 1

    def restore(self, product_id: int | None = None) -> None:
        """Forget what was set of a product, or of all."""
        if product_id is None:
            self._changes.clear()
        else:
            self._changes.pop(product_id, None)
        self.revision += 1


def _amount(value: Any) -> Any:
    """Return a number or its text as an exact Decimal; anything else stays what it is."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return value
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return value
    usual = amount.is_finite() and abs(amount) < _TOO_LARGE
    return amount if usual else value


def _body(answer: Any) -> bytes | None:
    if answer is None:
        return None
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return text.encode("utf-8", "surrogatepass")
