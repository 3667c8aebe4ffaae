"""The parameters of a call as they come over the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ali1688_spider.sandbox.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.web import BaseRequest

_FORM = "application/x-www-form-urlencoded"


async def read_parameters(request: BaseRequest) -> dict[str, str]:
    """Return the parameters of the query and of the form body together.

    Raises:
        RefusedError: The text is not UTF-8, or a parameter is given twice.
    """
    texts = [request.rel_url.raw_query_string]
    if request.method == "POST" and request.content_type == _FORM:
        texts.append((await request.read()).decode("latin-1"))
    params: dict[str, str] = {}
    for text in filter(None, texts):
        for name, value in _pairs(text):
            if name in params:
                raise RefusedError("invalid-parameter", "given twice", parameter=name)
            params[name] = value
    return params


def required(params: Mapping[str, str], name: str) -> str:
    """Return a parameter that must be there and not be empty.

    Raises:
        RefusedError: It is missing.
    """
    value = params.get(name)
    if not value:
        raise RefusedError("missing-parameter", parameter=name)
    return value


def _pairs(text: str) -> list[tuple[str, str]]:
    if not text.isascii():
        raise RefusedError("invalid-encoding", "the form is not URL-encoded")
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise RefusedError("invalid-encoding") from error
