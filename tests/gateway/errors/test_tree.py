from __future__ import annotations

import copy

from ali1688_spider.exceptions import GatewayError
from ali1688_spider.gateway import errors
from ali1688_spider.gateway.errors import CallError, Reaction


def leaves(kind: type[CallError]) -> list[type[CallError]]:
    children = [
        child for child in kind.__subclasses__() if child.__module__.endswith("errors.tree")
    ]
    return [leaf for child in children for leaf in leaves(child)] or [kind]


def test_each_error_says_what_to_do() -> None:
    kinds = leaves(CallError)
    assert len({kind.error_class for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert issubclass(kind, GatewayError)
        assert kind.error_class == kind.error_class.lower().replace("-", "_")
        assert kind.advice.endswith(".")


def test_the_reactions_that_end_a_crawl_have_a_close_reason() -> None:
    reasons = {(kind.reaction, kind.close_reason) for kind in leaves(CallError)}
    assert reasons == {
        (Reaction.RETRY, ""),
        (Reaction.WAIT, ""),
        (Reaction.REFRESH_TOKEN, ""),
        (Reaction.CLOCK, ""),
        (Reaction.GONE, ""),
        (Reaction.CALL_WRONG, ""),
        (Reaction.API_CLOSED, "permission_denied"),
        (Reaction.API_PAUSED, "quota_exhausted"),
        (Reaction.FATAL, "bad_credentials"),
    }


def test_what_an_error_shows() -> None:
    error = errors.FlowControlError("slow down", code="7", sub_code="x", status=200)
    assert str(error) == "7: x: slow down (HTTP 200)"
    assert str(errors.NoAnswerInTimeError()) == "timeout"
    assert repr(error) == "FlowControlError('slow down')"
    assert str(copy.copy(error)) == str(error)


def test_messages_are_one_short_line_without_secrets() -> None:
    token = "3f2a9c1e-7b44-4f0e-9a55-0c1d2e3f4a5b"
    said = (
        f"bad sign\u2028at https://gw.open.1688.com/openapi?access_token={token}\x00 "
        f"app_secret=s3cr3t token {token} {'A1' * 16}" + " and so on" * 100
    )
    error = errors.UnknownRefusalError(said, code=f"gw.Odd sign={token}")
    assert error.message.startswith("bad sign at *** app_secret=*** token *** *** and so on")
    assert len(error.message) == 200
    assert error.message.endswith("…")
    assert error.code == "gw.Odd sign=***"
    assert token not in str(error) + repr(error) + repr(vars(error))
