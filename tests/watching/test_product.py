from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ali1688_spider.exceptions import MalformedMessageError
from ali1688_spider.watching.change_rate import DAY, Observations
from ali1688_spider.watching.product import WatchedProduct

histories = st.lists(
    st.tuples(st.floats(min_value=0.01, max_value=100 * DAY), st.booleans()), max_size=30
)


def observed(history: list[tuple[float, bool]]) -> Observations:
    observations = Observations()
    for interval, changed in history:
        observations = observations.update(interval, changed=changed)
    return observations


@given(
    category=st.integers(min_value=0, max_value=10**12),
    history=histories,
    fetched_at=st.none() | st.integers(min_value=0, max_value=4 * 10**12).map(lambda ms: ms / 1000),
    interval=st.integers(min_value=0, max_value=999_999),
    removals=st.integers(min_value=0, max_value=99),
)
def test_a_state_survives_its_text(
    category: int,
    history: list[tuple[float, bool]],
    fetched_at: float | None,
    interval: int,
    removals: int,
) -> None:
    product = WatchedProduct(category, observed(history), fetched_at, interval, removals)

    assert WatchedProduct.decode(product.encode()) == product
    assert WatchedProduct.decode(product.encode().encode()) == product


def test_the_text_is_short() -> None:
    observations = observed([(5000.5 + index, index % 3 == 0) for index in range(90)])
    product = WatchedProduct(1031910, observations, 1_700_000_000.123, 7214.31)

    assert product.encode() == "[1031910,1700000000.123,7214.31,0,39.8835,201500,19.6434,99211.9]"


def test_a_new_product_says_so_in_few_bytes() -> None:
    assert WatchedProduct().encode() == "[0,null,0,0,0,0]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "7",
        "[" * 100_000,
        "[0,null,0,0]",
        "[0,null,0,0,0,0,1]",
        "[0.5,null,0,0,0,0]",
        "[true,null,0,0,0,0]",
        "[0,null,0,0.5,0,0]",
        "[0,null,0,-1,0,0]",
        '[0,null,"1",0,0,0]',
        "[0,null,-1,0,0,0]",
        "[0,null,NaN,0,0,0]",
        "[0,null,Infinity,0,0,0]",
        "[0,false,0,0,0,0]",
        "[0,null,0,0,null,0]",
        "[0,null,0,0,0,0,0,5]",
        b"\xff",
    ],
)
def test_any_other_text_is_refused(text: str | bytes) -> None:
    with pytest.raises(MalformedMessageError):
        WatchedProduct.decode(text)


def test_demand_and_lateness() -> None:
    product = WatchedProduct(fetched_at=1000, interval=50)

    assert product.demand == 1 / 50
    assert product.late(1049) == 0
    assert product.late(1060) == 10
    assert WatchedProduct().demand == 0
    assert WatchedProduct().late(1060) == 0
