from __future__ import annotations

import logging

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure, WriteError

from ali1688_spider.gateway.backoff import Backoff
from ali1688_spider.storage.errors import StoreUnavailableError, explain, is_outage
from ali1688_spider.storage.patience import Patience

QUICK = Backoff(base=1e-6, cap=1e-6)


class Flaky:
    """Fails with each of the errors in turn, then answers 42."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def __call__(self) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return 42


async def test_waits_until_the_database_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    waits: list[None] = []
    patience = Patience(waited=lambda: waits.append(None), backoff=QUICK)
    assert await patience.repeat(Flaky(*[AutoReconnect("connection closed")] * 3)) == 42
    assert len(waits) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[0] == (
        "Storing waits; nothing is lost. MongoDB does not answer (connection closed): "
        "start it, or correct MONGO_URI"
    )
    assert await patience.repeat(Flaky()) == 42
    assert len(caplog.records) == 2


async def test_other_errors_pass() -> None:
    patience = Patience(backoff=QUICK)
    with pytest.raises(WriteError):
        await patience.repeat(Flaky(WriteError("no")))


async def test_gives_up_when_the_crawl_closes() -> None:
    patience = Patience(closing=lambda: True, backoff=QUICK, give_up_after=0)
    with pytest.raises(StoreUnavailableError, match="while the crawl was closing"):
        await patience.repeat(Flaky(AutoReconnect("gone")))


async def test_goes_on_for_a_while_when_the_crawl_closes() -> None:
    patience = Patience(closing=lambda: True, backoff=QUICK, give_up_after=3600)
    assert await patience.repeat(Flaky(*[AutoReconnect("gone")] * 5)) == 42


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (StoreUnavailableError("Redis is away"), True),
        (OperationFailure("shutting down", 91), True),
        (OperationFailure("disk full", 14031), True),
        (OperationFailure("not authorised", 13), True),
        (OperationFailure("wrong", 9), False),
        (BulkWriteError({"writeErrors": [{"code": 121}], "writeConcernErrors": []}), False),
        (BulkWriteError({"writeErrors": [{"code": 189}], "writeConcernErrors": []}), True),
        (BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]}), True),
        (ValueError("not of the database"), False),
    ],
)
def test_what_passes_by_waiting(error: Exception, *, passes: bool) -> None:
    assert is_outage(error) is passes


def test_explanations_say_what_to_do() -> None:
    assert explain(OperationFailure("Authentication failed.", 18)) == (
        "MongoDB refuses the user name or the password: correct them in MONGO_URI "
        "(Authentication failed.)"
    )
    assert "readWrite" in explain(OperationFailure("not authorized on x", 13))


async def test_a_crawl_that_opened_during_an_outage_has_its_time_when_it_closes() -> None:
    closing = True
    patience = Patience(closing=lambda: closing, backoff=QUICK, give_up_after=0)
    with pytest.raises(StoreUnavailableError):
        await patience.repeat(Flaky(AutoReconnect("gone")))
    closing = False
    assert await patience.repeat(Flaky(AutoReconnect("gone"))) == 42
