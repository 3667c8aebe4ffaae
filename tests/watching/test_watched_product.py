from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.watching.watched_product import DAY, MEMORY, Outcome, WatchedProduct
from tests.watching.observations import NOW, histories, observed

# What fetches find


def test_the_first_fetch_observes_nothing() -> None:
    outcome, product = WatchedProduct().fetched("a", NOW)

    assert outcome is Outcome.UNCHANGED
    assert product == WatchedProduct("a", NOW)


def test_later_fetches_are_observations() -> None:
    unchanged, product = WatchedProduct("a", NOW).fetched("a", NOW + 100)
    changed, product_changed = WatchedProduct("a", NOW).fetched("b", NOW + 100)

    assert (unchanged, changed) == (Outcome.UNCHANGED, Outcome.CHANGED)
    assert product == WatchedProduct("a", NOW + 100, 0, 0, 100)
    assert product_changed.fingerprint == "b"
    assert product_changed.changes == 1
    assert 0 < product_changed.seconds < 50


@pytest.mark.parametrize("now", [NOW - 3, NOW])
def test_an_answer_that_is_not_later_is_no_observation(now: float) -> None:
    product = observed((DAY, True))
    assert product.fetched_at is not None

    _, after = product.fetched("x", product.fetched_at - NOW + now)

    assert after == WatchedProduct("x", product.fetched_at, 0, product.changes, product.seconds)


def test_old_observations_fade() -> None:
    product = observed(*[(DAY, True)] * 30, *[(DAY, False)] * 70)
    kept = 1 - 1 / MEMORY

    assert product.changes == pytest.approx(kept**70 * (1 - kept**30) / (1 - kept))


def test_a_product_that_returns_is_watched_as_before() -> None:
    before = observed((DAY, True), (DAY, False))

    gone, removed = before.fetched(None, NOW + 3 * DAY)
    _, removed = removed.fetched(None, NOW + 4 * DAY)
    back, returned = removed.fetched("x", NOW + 5 * DAY)

    assert (gone, back) == (Outcome.REMOVED, Outcome.CHANGED)
    assert removed.removals == 2
    assert removed.fingerprint == before.fingerprint
    assert returned == WatchedProduct("x", NOW + 5 * DAY, 0, before.changes, before.seconds)


# The text of a state


@given(history=histories, removals=st.integers(min_value=0, max_value=99))
def test_a_state_survives_its_text(history: list[tuple[float, bool]], removals: int) -> None:
    product = observed(*history)
    for number in range(removals):
        _, product = product.fetched(None, NOW + 100 * number)

    read = WatchedProduct.decode(product.encode())

    assert read.fingerprint == product.fingerprint
    assert read.removals == removals
    assert read.fetched_at == pytest.approx(product.fetched_at, abs=1e-3)
    assert read.changes == pytest.approx(product.changes, rel=1e-5)
    assert read.seconds == pytest.approx(product.seconds, rel=1e-5)


def test_the_text_is_short() -> None:
    product = WatchedProduct("0123456789ab", 1_700_000_000.123, 0, 19.643412, 201500.7123)

    assert product.encode() == "0123456789ab[1700000000.123,0,19.6434,201501]"


def test_a_product_without_a_fetch_has_no_text() -> None:
    assert WatchedProduct.decode("") == WatchedProduct()


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "{}",
        "7",
        "[" * 100_000,
        "[]",
        "[1,2,3]",
        "[1,2,3,4,5]",
        "[1,0,0,0,0,0]",
        "[1,0,0,0,0,0,1]",
        "[1,0,0,0,0,0,1,1,1]",
        "[1,0,0,0]5",
        "[1,0,0,0]5,6,7,8,9",
        "[1,0,0,0]5,6,-1,0",
        "[null,0,0,0]",
        "[true,0,0,0]",
        '[1,"0",0,0]',
        "[1,-1,0,0]",
        "[1,0,NaN,0]",
        "[1,0,0,Infinity]",
        "[1,0,0,1e300]",
        f"[1,0,0,1{'0' * 400}]",
        "[1,0,0,{}]",
        "[1,2,3,4]]",
    ],
)
def test_any_other_text_starts_over(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert WatchedProduct.decode(text) == WatchedProduct()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("The state of a watched product is unreadable")


HINT = ("hinted_at", "last_hint_at", "new_hints", "new_unseen_seconds")


@pytest.mark.parametrize("hints", [0.0, 2.5])
@pytest.mark.parametrize("hint", [(), (NOW + 60, NOW + 90, 2, 40.0)])
def test_hints_are_in_the_text(hints: float, hint: tuple[Any, ...]) -> None:
    last = NOW - 90 if hints else 0.0
    product = WatchedProduct("a", NOW, 0, 1, 500, hints, 300 * hints, 20 * hints, None, last)
    if hint:
        product = replace(product, **dict(zip(HINT, hint, strict=True)))

    assert WatchedProduct.decode(product.encode()) == product


@pytest.mark.parametrize(
    "text",
    [
        "a[5,0,1,2]",
        "a[5,0,1,2,0,0,0,8]7,8,1,0",
        "a[5,0,1,2,3,4,2,6]",
        "a[5,0,1,2,3,4,2,7]7,7,0,0",
    ],
)
def test_a_text_is_written_as_it_was_read(text: str) -> None:
    assert WatchedProduct.decode(text).encode() == text
