from __future__ import annotations

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.http import ApiRequest
from ali1688_spider.scheduling.leased_calls import LeasedCall
from ali1688_spider.scheduling.stock import Stock


def leases(*product_ids: int, priority: int = 0) -> list[LeasedCall]:
    return [
        LeasedCall(b"%d" % number, "token", 1, ApiCall.product(number), priority)
        for number in product_ids
    ]


def take_all(stock: Stock) -> list[int]:
    taken = []
    while (entry := stock.take()) is not None:
        taken.append(int(entry.call.params["product_id"]))
    return taken


def test_calls_come_out_in_the_order_in_which_they_were_leased() -> None:
    stock = Stock(most_in_hand=9, wanted=9)
    stock.add(leases(3, 1))
    stock.add(leases(2))

    assert len(stock) == 3
    assert take_all(stock) == [3, 1, 2]
    assert stock.in_hand == 3
    assert len(stock) == 0


def test_a_higher_priority_passes_what_lies_in_stock() -> None:
    stock = Stock(most_in_hand=9, wanted=9)
    stock.add([*leases(1, 2, priority=5), *leases(3)])
    stock.add([*leases(4, priority=7), *leases(5, priority=5), *leases(6, priority=-1)])

    assert take_all(stock) == [4, 1, 2, 5, 3, 6]


def test_no_more_are_in_hand_than_may_be() -> None:
    stock = Stock(most_in_hand=2, wanted=9)
    stock.add(leases(1, 2, 3))

    assert take_all(stock) == [1, 2]
    stock.settled()
    assert take_all(stock) == [3]


def test_a_call_that_is_put_back_goes_first_and_counts_as_none_of_the_leased_ones() -> None:
    stock = Stock(most_in_hand=1, wanted=3)
    stock.add(leases(1, 2))
    assert take_all(stock) == [1]

    stock.put_back(ApiRequest("https://gw.api.1688.com", call=ApiCall.product(1)))

    assert (len(stock), stock.in_hand, stock.missing) == (2, 0, 2)
    assert take_all(stock) == [1]
    stock.settled()
    assert take_all(stock) == [2]


def test_it_says_how_many_are_missing_and_when_it_is_low() -> None:
    stock = Stock(most_in_hand=9, wanted=4)
    assert (stock.missing, stock.is_low) == (4, True)
    stock.add(leases(1, 2, 3, 4, 5))
    assert (stock.missing, stock.is_low) == (0, False)
    for _ in range(3):
        stock.take()
    assert (stock.missing, stock.is_low) == (2, True)


def test_calls_are_removed_all_or_by_their_messages() -> None:
    stock = Stock(most_in_hand=9, wanted=4)
    stock.add(leases(1, 2, 3, 4))
    stock.take()
    stock.put_back(ApiRequest("https://gw.api.1688.com", call=ApiCall.product(1)))

    assert [int(lease.message) for lease in stock.remove({b"1", b"3", b"9"})] == [3]
    assert [int(lease.message) for lease in stock.remove()] == [2, 4]
    assert stock.missing == 4
    assert take_all(stock) == [1]


@pytest.mark.parametrize(
    ("qps", "in_hand", "wanted"),
    [(0, 32, 64), (2, 6, 3), (0.5, 2, 2), (10, 30, 11), (40, 32, 41), (1000, 32, 64)],
)
def test_it_is_as_small_as_the_rate(qps: float, in_hand: int, wanted: int) -> None:
    stock = Stock.sized(32, qps)
    assert stock.missing == wanted
    stock.add(leases(*range(1, 100)))
    assert len(take_all(stock)) == in_hand
