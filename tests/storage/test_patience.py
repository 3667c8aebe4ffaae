from __future__ import annotations

import logging

import pytest
from bson.errors import InvalidBSON, InvalidDocument
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    ProtocolError,
    WriteConcernError,
    WriteError,
)

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
        await patience.repeat(Flaky(WriteError("no", 121)))


async def test_what_a_person_has_to_mend_is_an_error_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    patience = Patience(backoff=QUICK)
    full = OperationFailure("No space left on device", 14031)
    unknown = BulkWriteError({"writeErrors": [{"code": 1, "errmsg": "WT_PANIC"}]})
    errors = [AutoReconnect("gone"), full, unknown, AutoReconnect("gone"), full]
    assert await patience.repeat(Flaky(*errors)) == 42
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "INFO"]
    assert caplog.messages[1] == (
        "Storing waits; nothing is lost. MongoDB's disk is full: make room on it "
        "(No space left on device)"
    )
    caplog.clear()
    assert await patience.repeat(Flaky(unknown)) == 42
    assert caplog.messages[0] == (
        "Storing waits; nothing is lost. MongoDB fails within itself: its log and its disk say "
        "more (WT_PANIC)"
    )


async def test_gives_up_when_the_crawl_closes() -> None:
    patience = Patience(closing=lambda: True, backoff=QUICK, give_up_after=0)
    with pytest.raises(StoreUnavailableError, match="while the crawl was closing"):
        await patience.repeat(Flaky(AutoReconnect("gone")))


async def test_goes_on_for_a_while_when_the_crawl_closes() -> None:
    patience = Patience(closing=lambda: True, backoff=QUICK, give_up_after=3600)
    assert await patience.repeat(Flaky(*[AutoReconnect("gone")] * 5)) == 42


def bulk_failure(*codes: int, concern: int = 0) -> BulkWriteError:
    return BulkWriteError(
        {
            "writeErrors": [{"code": code, "errmsg": "no"} for code in codes],
            "writeConcernErrors": [{"code": concern}] if concern else [],
        }
    )


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (StoreUnavailableError("Redis is away"), True),
        (AutoReconnect("connection closed"), True),
        (NotPrimaryError("stepping down"), True),
        (ExecutionTimeout("too slow", 50), True),
        (OperationFailure("shutting down", 91), True),
        (OperationFailure("disk full", 14031), True),
        (OperationFailure("not authorised", 13), True),
        (OperationFailure("WT_PANIC: WiredTiger library panic", 1), True),
        (OperationFailure("WT_ERROR", 8), True),
        (OperationFailure("what nobody knows", 987654), True),
        (OperationFailure("without a code"), True),
        (WriteConcernError("no majority", 64), True),
        (ProtocolError("half an answer"), True),
        (WriteError("a validator", 121), False),
        (DuplicateKeyError("a unique index", 11000), False),
        (OperationFailure("too large", 10334), False),
        (DocumentTooLarge("too large for a message"), False),
        (InvalidDocument("keys must be texts"), False),
        (InvalidBSON("half a document"), False),
        (bulk_failure(121), False),
        (bulk_failure(121, 11000), False),
        (bulk_failure(189), True),
        (bulk_failure(1), True),
        (bulk_failure(121, 1), True),
        (bulk_failure(121, concern=64), True),
        (bulk_failure(concern=64), True),
        (InvalidOperation("the client is closed"), False),
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
