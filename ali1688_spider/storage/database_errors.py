"""What can go wrong between the project and its database, and what to do about it.

A document is refused for errors that are known to be the document's own. All other errors are
outages, unknown ones too: a good document must not be lost because a disk is full.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    InvalidName,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
)

from ali1688_spider.exceptions import Ali1688Error
from ali1688_spider.retrying import Unavailable

_DUPLICATE_KEY = 11000

# https://www.mongodb.com/docs/manual/reference/error-codes/
DOCUMENT_CODES = {
    121,  # a validator of the user's refuses it
    *(_DUPLICATE_KEY, 11001, 12582),  # a unique index of the user's does
    *(171, 16755, 17261, 17262, 17280),  # another index of the user's cannot hold it
    *(10334, 17419, 17420),  # larger than 16 MiB
    *(15, 22),  # nested too deeply, no BSON
    *(52, 53, 54, 55, 56, 57),  # a name or a value that no field can have
    66,  # a field that must not change, such as a shard key of the user's
}
"""The server's codes for errors of the document itself, which will never be taken."""

_TRANSIENT_CODES = {
    *(6, 7, 89, 9001),  # host unreachable or not found, network time-out, socket
    *(91, 189, 10107, 11600, 11602, 13435, 13436),  # shutting down, or no longer the primary
    *(24, 46, 50, 64, 112, 134, 202, 262),  # took too long, met another write, no resources
}
_ADVICE = {
    1: "MongoDB fails within itself: its log and its disk say more",  # InternalError
    14031: "MongoDB's disk is full: make room on it",
    **dict.fromkeys(
        (18, 8000),  # AuthenticationFailed, AtlasError
        "MongoDB refuses the user name or the password: correct them in MONGO_URI",
    ),
    13: (  # Unauthorized
        "MongoDB does not let this user work on the database: grant it the role readWrite on "
        "MONGO_DATABASE, or put another user into MONGO_URI"
    ),
    **dict.fromkeys(
        (85, 86),  # IndexOptionsConflict, IndexKeySpecsConflict
        "MongoDB has an index with the name or the fields of one of the project's, and with other "
        "options: drop it and start again",
    ),
}


class StoreUnavailableError(Ali1688Error):
    """A server does not take what is to be stored or passed on; the text says what to do.

    With *refused* it answers and refuses, so that a person has to act.
    """

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


class DocumentRefusedError(Ali1688Error):
    """One document cannot be stored, however often it is tried; the text says why."""


def classify(error: Exception) -> Unavailable | None:
    """Return why the same operation may succeed later; None for an error that stays.

    All errors of the database are outages, except those of a document and those of this program.
    """
    match error:
        case StoreUnavailableError(refused=refused):
            return Unavailable(str(error), logging.ERROR if refused else logging.WARNING)
        case InvalidName() | InvalidOperation():
            return None
        case PyMongoError():
            outages = [each for each in _failures(error) if each[0] not in DOCUMENT_CODES]
            if not outages:
                return None
            is_transient = (
                isinstance(error, ConnectionFailure)
                or error.has_error_label("RetryableWriteError")
                or {code for code, _ in outages} <= _TRANSIENT_CODES
            )
            level = logging.WARNING if is_transient else logging.ERROR
            return Unavailable(_explain(error, *outages[0]), level)
    return None


def explain(error: Exception) -> str:
    """Return what went wrong and what to do about it; no user name or password is in it."""
    if not isinstance(error, PyMongoError):
        return str(error) or repr(error)
    outage = classify(error)
    return outage.text if outage else _explain(error, *_failures(error)[0])


def reason(error: PyMongoError) -> str:
    """Return what the server or the driver says, in short, with no user name or password in it."""
    return _failures(error)[0][1]


def is_there_already(failure: Mapping[str, Any]) -> bool:
    """Whether what failed in a bulk write is a document whose ``_id`` is there already."""
    return failure["code"] == _DUPLICATE_KEY and "_id" in failure.get("keyPattern", {"_id": 1})


def _failures(error: PyMongoError) -> Sequence[tuple[int | None, str]]:
    """Return the code of each failure, and the first part of what the server or driver says."""
    if isinstance(error, BulkWriteError):
        kinds = ("writeErrors", "writeConcernErrors")
        failures = [each for kind in kinds for each in error.details.get(kind, ())]
        return [(each.get("code"), str(each.get("errmsg", ""))[:300]) for each in failures]
    # Without the description of the whole cluster.
    text = str(error).partition(", full error:")[0].partition(", Timeout:")[0]
    reason = text.partition(" (configured timeouts:")[0][:300]
    return [(error.code if isinstance(error, OperationFailure) else None, reason)]


def _explain(error: PyMongoError, code: int | None, reason: str) -> str:
    if isinstance(error, ConfigurationError):
        return "MONGO_URI does not lead to a server: correct its host name and its options"
    if isinstance(error, ConnectionFailure):
        return f"MongoDB does not answer ({reason}): start it, or correct MONGO_URI"
    return f"{_ADVICE.get(code or 0, 'MongoDB refuses an operation')} ({reason})"
