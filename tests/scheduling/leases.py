"""Leases as they end: copies of a lease, settled in each of the ways."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from ali1688_spider.gateway.calls import ApiCall
from ali1688_spider.scheduling.lease import QueueEntry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ali1688_spider.scheduling.lease import Lease
    from ali1688_spider.scheduling.queue import LeaseQueue


def products(*product_ids: int, priority: int = 0, delay: float = 0) -> list[QueueEntry]:
    return [QueueEntry(ApiCall.product(number), priority, delay) for number in product_ids]


def done(lease: Lease, children: Iterable[QueueEntry] = ()) -> Lease:
    lease = copy(lease)
    lease.children = list(children)
    lease.ack()
    return lease


def again(lease: Lease, delay: float) -> Lease:
    lease = done(lease)
    lease.repeat(delay)
    return lease


def retry(lease: Lease, delay: float, *, counted: bool = True) -> Lease:
    lease = copy(lease)
    lease.retry(delay, counted=counted)
    return lease


def release(lease: Lease) -> Lease:
    lease = copy(lease)
    lease.release()
    return lease


def lease_ids(queue: LeaseQueue, count: int = 100) -> list[int]:
    return [int(leased.message) for leased in queue.lease(count).leases]


def lease_one(queue: LeaseQueue) -> Lease:
    (leased,) = queue.lease(1).leases
    return leased
