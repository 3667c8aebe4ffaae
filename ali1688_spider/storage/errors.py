"""What can go wrong between the project and its database, and which of it passes by waiting."""

from __future__ import annotations

from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    WriteConcernError,
)

from ali1688_spider.exceptions import Ali1688Error

DUPLICATE_KEY = 11000
_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18
_ATLAS_ERROR = 8000

# https://www.mongodb.com/docs/manual/reference/error-codes/
_PASSING_CODES = {
    *(6, 7, 89, 9001),  # host unreachable or not found, network time-out, socket
    *(91, 189, 10107, 11600, 11602, 13435, 13436),  # shutting down, or no longer the primary
    *(50, 112, 134, 202, 262),  # took too long, met another write, no resources
    *(_UNAUTHORIZED, _AUTHENTICATION_FAILED, 391, _ATLAS_ERROR),  # for the operator to mend
    14031,  # disk full: likewise
}

_CREDENTIALS = "MongoDB refuses the user name or the password: correct them in MONGO_URI"
_INDEX_CONFLICT = (
    "MongoDB has an index with the name or the fields of one of the project's, and with other "
    "options: drop it and start again"
)
_ADVICE = {
    _AUTHENTICATION_FAILED: _CREDENTIALS,
    _ATLAS_ERROR: _CREDENTIALS,
    _UNAUTHORIZED: (
        "MongoDB does not let this user work on the database: grant it the role readWrite on "
        "MONGO_DATABASE, or put another user into MONGO_URI"
    ),
    **dict.fromkeys((85, 86), _INDEX_CONFLICT),
}


class StoreUnavailableError(Ali1688Error):
    """The database, or who is told of its changes, does not answer; the text says what to do."""


class DocumentRefusedError(Ali1688Error):
    """One document cannot be stored, however often it is tried; the text says why."""


def is_outage(error: Exception) -> bool:
    """Tell whether the same operation may succeed later, with the same documents."""
    match error:
        case StoreUnavailableError() | ConnectionFailure() | ExecutionTimeout():
            return True
        case BulkWriteError(details=details):
            failures = details.get("writeErrors", ())
            passing = any(failure["code"] in _PASSING_CODES for failure in failures)
            return passing or bool(details.get("writeConcernErrors"))
        case WriteConcernError():
            return True
        case OperationFailure(code=code):
            return code in _PASSING_CODES or error.has_error_label("RetryableWriteError")
    return False


def only_duplicates(error: BulkWriteError) -> bool:
    """Tell whether all that an insertion met were documents that are there already."""
    failures = error.details.get("writeErrors", ())
    all_duplicates = all(failure["code"] == DUPLICATE_KEY for failure in failures)
    return all_duplicates and not error.details.get("writeConcernErrors")


def explain(error: Exception) -> str:
    """Return what went wrong and what to do about it; no user name or password is in it."""
    if isinstance(error, StoreUnavailableError):
        return str(error)
    if isinstance(error, ConfigurationError):
        return "MONGO_URI does not lead to a server: correct its host name and its options"
    if isinstance(error, ConnectionFailure):
        return f"MongoDB does not answer ({_reason(error)}): start it, or correct MONGO_URI"
    code = error.code if isinstance(error, OperationFailure) else None
    advice = _ADVICE.get(code or 0, "MongoDB refuses an operation")
    return f"{advice} ({_reason(error)})"


def _reason(error: Exception) -> str:
    """Return the first part of the driver's text, without its description of the whole cluster."""
    text = str(error).partition(", full error:")[0].partition(", Timeout:")[0]
    return text.partition(" (configured timeouts:")[0][:300]
