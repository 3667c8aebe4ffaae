from __future__ import annotations

import pytest

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.entries import QueueEntry
from ali1688_spider.scheduling.handling import Handling
from ali1688_spider.scheduling.leased_calls import (
    LeasedCall,
    Outcome,
    again,
    done,
    release,
    retry,
)
from ali1688_spider.shutdown import CrawlClosingError

LEASE = LeasedCall(b"7", "token", 3, ApiCall.product(7))


@pytest.fixture
def outcomes() -> list[Outcome]:
    return []


@pytest.fixture
def handling(outcomes: list[Outcome]) -> Handling:
    return Handling(LEASE, outcomes.append, lambda _: None)


def test_a_call_is_done_when_its_last_item_is(handling: Handling, outcomes: list[Outcome]) -> None:
    handling.begin_item()
    handling.begin_item()
    handling.end_item()
    handling.end_output()
    assert outcomes == []
    handling.end_item()
    assert outcomes == [done(LEASE)]


def test_items_may_end_before_the_output(handling: Handling, outcomes: list[Outcome]) -> None:
    handling.begin_item()
    handling.end_item()
    assert outcomes == []
    handling.end_output()
    assert outcomes == [done(LEASE)]


def test_children_go_with_their_parent(handling: Handling, outcomes: list[Outcome]) -> None:
    child = QueueEntry(ApiCall.product(8))
    handling.children.append(child)
    handling.end_output()
    assert outcomes == [done(LEASE, [child])]


def test_a_watched_call_is_made_anew(outcomes: list[Outcome]) -> None:
    handling = Handling(LEASE, outcomes.append, lambda call: 60.0 * call.params["product_id"])  # type: ignore[operator]
    handling.end_output()
    assert outcomes == [again(LEASE, 420)]


def test_a_call_is_settled_once(handling: Handling, outcomes: list[Outcome]) -> None:
    handling.begin_item()
    handling.postpone(5)
    handling.end_output()
    handling.end_item()
    handling.acknowledge()
    handling.failed(ValueError())
    assert outcomes == [retry(LEASE, 5)]


def test_a_try_may_not_count(handling: Handling, outcomes: list[Outcome]) -> None:
    handling.postpone(5, counted=False)
    assert outcomes == [retry(LEASE, 5, counted=False)]
    assert outcomes[0].attempts == 2


def test_without_a_delay_it_backs_off(handling: Handling, outcomes: list[Outcome]) -> None:
    handling.postpone()
    (outcome,) = outcomes
    assert outcome == retry(LEASE, outcome.delay)
    assert 0 <= outcome.delay < 4


def test_an_unexpected_error_is_another_try_later(
    handling: Handling, outcomes: list[Outcome]
) -> None:
    handling.failed(ValueError())
    assert outcomes[0].action == "back"
    assert outcomes[0].attempts == 3


def test_a_released_call_goes_back_as_if_it_had_not_been_leased(
    handling: Handling, outcomes: list[Outcome]
) -> None:
    handling.failed(CrawlClosingError())
    assert outcomes == [release(LEASE)]
