"""Watched products that were fetched so many times."""

from __future__ import annotations

from hypothesis import strategies as st

from ali1688_spider.watching.watched_product import DAY, WatchedProduct

NOW = 1_700_000_000.0
HOUR = 3600.0

histories = st.lists(
    st.tuples(st.floats(min_value=1, max_value=30 * DAY), st.booleans()), max_size=20
)


def observed(*history: tuple[float, bool]) -> WatchedProduct:
    """A product after its first fetch and those of the history: time since the last, changed."""
    _, product = WatchedProduct().fetched("0", NOW)
    for number, (interval, is_changed) in enumerate(history):
        assert product.fetched_at is not None
        seen = str(number + 1) if is_changed else product.fingerprint
        _, product = product.fetched(seen, product.fetched_at + interval)
    return product
