from __future__ import annotations

import logging

import pytest
from bson.errors import InvalidBSON, InvalidDocument
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidName,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    ProtocolError,
    WriteConcernError,
    WriteError,
)

from ali1688_spider.storage.database_errors import StoreUnavailableError, classify, explain


def bulk_failure(*codes: int, concern: int = 0) -> BulkWriteError:
    return BulkWriteError(
        {
            "writeErrors": [{"code": code, "errmsg": f"no {code}"} for code in codes],
            "writeConcernErrors": [{"code": concern}] if concern else [],
        }
    )


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("Redis is away"),
        AutoReconnect("connection closed"),
        NotPrimaryError("stepping down"),
        ExecutionTimeout("too slow", 50),
        OperationFailure("shutting down", 91),
        WriteConcernError("no majority", 64),
        bulk_failure(189),
        bulk_failure(121, concern=64),
        bulk_failure(concern=64),
    ],
)
def test_outages_that_end_by_themselves(error: Exception) -> None:
    outage = classify(error)
    assert outage is not None
    assert outage.level == logging.WARNING


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("Redis refuses", refused=True),
        OperationFailure("disk full", 14031),
        OperationFailure("not authorised", 13),
        OperationFailure("WT_PANIC: WiredTiger library panic", 1),
        OperationFailure("WT_ERROR", 8),
        OperationFailure("what nobody knows", 987654),
        OperationFailure("without a code"),
        ProtocolError("half a response"),
        ConfigurationError("no such host"),
        bulk_failure(1),
        bulk_failure(121, 1),
        bulk_failure(189, 1),
    ],
)
def test_outages_that_a_person_has_to_end(error: Exception) -> None:
    outage = classify(error)
    assert outage is not None
    assert outage.level == logging.ERROR


@pytest.mark.parametrize(
    "error",
    [
        WriteError("a validator", 121),
        DuplicateKeyError("a unique index", 11000),
        OperationFailure("too large", 10334),
        DocumentTooLarge("too large for a message"),
        InvalidDocument("keys must be texts"),
        InvalidBSON("half a document"),
        bulk_failure(121),
        bulk_failure(121, 11000),
        InvalidName("a name"),
        InvalidOperation("the client is closed"),
        ValueError("not of the database"),
    ],
)
def test_errors_that_stay(error: Exception) -> None:
    assert classify(error) is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            AutoReconnect("connection closed"),
            "MongoDB does not answer (connection closed): start it, or correct MONGO_URI",
        ),
        (
            OperationFailure("Authentication failed.", 18),
            (
                "MongoDB refuses the user name or the password: correct them in MONGO_URI "
                "(Authentication failed.)"
            ),
        ),
        (
            OperationFailure("not authorized on x", 13),
            (
                "MongoDB does not let this user work on the database: grant it the role readWrite "
                "on MONGO_DATABASE, or put another user into MONGO_URI (not authorized on x)"
            ),
        ),
        (bulk_failure(121, 14031), "MongoDB's disk is full: make room on it (no 14031)"),
        (bulk_failure(121), "MongoDB refuses an operation (no 121)"),
        (
            ConfigurationError("All nameservers failed: secret.example"),
            "MONGO_URI does not lead to a server: correct its host name and its options",
        ),
        (StoreUnavailableError("Redis is away"), "Redis is away"),
        (ZeroDivisionError(), "ZeroDivisionError()"),
    ],
)
def test_explanations_say_what_to_do(error: Exception, text: str) -> None:
    assert explain(error) == text
    outage = classify(error)
    assert outage is None or outage.text == text
