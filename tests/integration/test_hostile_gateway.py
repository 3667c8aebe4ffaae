"""A gateway that misbehaves: no call is lost, no crawl hangs, and the account adds up."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.hostile_gateway import Answer, HostileGateway, product

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.harness import Process, Scrapy

    Ids = Callable[[int], Sequence[int]]

BODY = json.dumps(product(1)).encode()
UNDECODABLE = {
    "bad gzip": Answer(b"no gzip at all", headers={"Content-Encoding": "gzip"}),
    "cut gzip": Answer(gzip.compress(BODY)[:20], headers={"Content-Encoding": "gzip"}),
    "gzip that is deflate": Answer(zlib.compress(BODY), headers={"Content-Encoding": "gzip"}),
    "bad deflate": Answer(b"no deflate", headers={"Content-Encoding": "deflate"}),
    "bad brotli": Answer(b"no brotli", headers={"Content-Encoding": "br"}),
    "bad zstd": Answer(b"no zstd", headers={"Content-Encoding": "zstd"}),
    "two layers of which one is bad": Answer(
        gzip.compress(b"no brotli"), headers={"Content-Encoding": "br, gzip"}
    ),
    "a bomb": Answer(gzip.compress(b" " * 20 * 2**20), headers={"Content-Encoding": "gzip"}),
}


def crawl(scrapy: Scrapy, gateway: HostileGateway, ids: Sequence[int], **more: str) -> Process:
    address = f"http://127.0.0.1:{gateway.port}/router/json"
    settings = {"ALI1688_GATEWAY": address, **more}
    listed = ",".join(map(str, ids))
    return scrapy.run("crawl", "product", "-a", f"ids={listed}", "-O", "all.jsonl", **settings)


def account(finished: Process) -> dict[str, Any]:
    """Return the ids that were collected, and those that were given up."""
    failed_file = finished.folder / ".scrapy" / "ali1688" / "failed_calls.jsonl"
    failed = failed_file.read_text().splitlines() if failed_file.exists() else []
    has_rows = (finished.folder / "all.jsonl").exists()
    return {
        "collected": sorted(finished.read("all.jsonl")) if has_rows else [],
        "failed": sorted(json.loads(line)["params"]["product_id"] for line in failed),
    }


@pytest.mark.parametrize("first", list(UNDECODABLE))
def test_first_answers_that_cannot_be_decompressed(scrapy: Scrapy, ids: Ids, first: str) -> None:
    """They neither lose an id nor hold the crawl up for ever."""
    tries: Counter[str] = Counter()

    def answer(_path: str, form: dict[str, str]) -> Answer:
        tries[form["product_id"]] += 1
        is_first = sum(tries.values()) <= 5
        return UNDECODABLE[first] if is_first else Answer(product(form["product_id"]))

    with HostileGateway(answer) as gateway:
        finished = crawl(scrapy, gateway, ids(20))
    finished.ended_well()
    assert account(finished) == {"collected": list(ids(20)), "failed": []}


def test_a_product_whose_answer_can_never_be_decompressed(scrapy: Scrapy, ids: Ids) -> None:
    bad = str(ids(20)[7])

    def answer(_path: str, form: dict[str, str]) -> Answer:
        is_bad = form["product_id"] == bad
        return UNDECODABLE["bad brotli"] if is_bad else Answer(product(form["product_id"]))

    with HostileGateway(answer) as gateway:
        finished = crawl(scrapy, gateway, ids(20), ALI1688_MAX_ATTEMPTS="2")
    assert finished.exit_code == 1
    assert finished.stats["finish_reason"] == "incomplete"
    assert account(finished) == {
        "collected": [each for each in ids(20) if str(each) != bad],
        "failed": [int(bad)],
    }
    assert "Traceback" not in finished.log


def test_a_header_that_is_wrong_about_a_body_that_can_be_read(scrapy: Scrapy, ids: Ids) -> None:
    def answer(_path: str, form: dict[str, str]) -> Answer:
        return Answer(product(form["product_id"]), headers={"Content-Encoding": "gzip"})

    with HostileGateway(answer) as gateway:
        finished = crawl(scrapy, gateway, ids(5))
    finished.ended_well()
    assert account(finished) == {"collected": list(ids(5)), "failed": []}


@pytest.mark.parametrize(
    "spelling",
    [
        "http://LOCALHOST:{port}/router/json",
        "http://localhost.:{port}/router/json/",
        "HTTP://127.0.0.1:{port}/router/json//",
        " http://127.0.0.1:{port}/router/json ",
    ],
)
def test_another_spelling_of_the_gateway(scrapy: Scrapy, ids: Ids, spelling: str) -> None:
    with HostileGateway(lambda _path, form: Answer(product(form["product_id"]))) as gateway:
        address = spelling.format(port=gateway.port)
        finished = crawl(scrapy, gateway, ids(3), ALI1688_GATEWAY=address)
    finished.ended_well()
    assert account(finished) == {"collected": list(ids(3)), "failed": []}


REFUSED_TOKEN = {"error_code": "401", "error_message": "Request need user authorized"}
REFUSALS: dict[str, Answer] = {
    **{
        code: Answer({"error_code": code, "error_message": "refused"}, 400)
        for code in (
            "gw.SignatureInvalid",
            "gw.SignatureMissing",
            "gw.AppKeyMissing",
            "gw.AppKeyNotFound",
            "gw.APIUnsupported",
            "gw.APIACLDecline",
            "gw.ParamMissing",
        )
    },
    "401": Answer(REFUSED_TOKEN, 401),
    "no such page": Answer(b"<html><h1>Not Found</h1></html>", 404),
    "no token": Answer({"expires_in": "36000"}),
    "an empty token": Answer({"access_token": "", "refresh_token": "x"}),
    "OAuth's own": Answer({"error": "invalid_grant", "error_description": "expired"}, 400),
    "in words": Answer({"error_message": "wrong refreshToken"}, 400),
    "an app that has expired": Answer(
        {"code": "AppKeyExpired", "codeType": "ISV", "success": False, "message": "expired"}, 400
    ),
    "always a page": Answer(b"<html>Welcome</html>"),
}


@pytest.mark.parametrize("refusal", list(REFUSALS))
def test_a_token_that_the_platform_does_not_refresh(scrapy: Scrapy, ids: Ids, refusal: str) -> None:
    def answer(path: str, _form: dict[str, str]) -> Answer:
        return REFUSALS[refusal] if "getToken" in path else Answer(REFUSED_TOKEN, 401)

    with HostileGateway(answer) as gateway:
        finished = crawl(
            scrapy,
            gateway,
            ids(60),
            ALI1688_PROTOCOL="param2",
            ALI1688_GATEWAY=f"http://127.0.0.1:{gateway.port}/openapi",
            ALI1688_ACCESS_TOKEN="access-token-void",
            ALI1688_REFRESH_TOKEN="refresh-token-void",
        )
    assert finished.exit_code == 1
    assert finished.stats["finish_reason"] == "bad_credentials"
    assert len(gateway.forms) <= 30
    assert account(finished)["failed"] == []
    assert "Traceback" not in finished.log
    assert finished.log.count(" ERROR: ") == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(b"<html>Bad Gateway</html>", 502),
        Answer({"error_code": "gw.QosAppFrequencyLimit", "error_message": "too fast"}, 400),
        Answer({"error_message": "系统繁忙"}, 500),
    ],
)
def test_a_token_api_in_trouble_is_waited_for(scrapy: Scrapy, ids: Ids, trouble: Answer) -> None:
    refreshes = 0

    def answer(path: str, form: dict[str, str]) -> Answer:
        nonlocal refreshes
        if "getToken" in path:
            refreshes += 1
            return trouble if refreshes <= 3 else Answer({"access_token": "access-token-new"})
        if form.get("access_token") != "access-token-new":
            return Answer(REFUSED_TOKEN, 401)
        info = {"productID": form["productID"], "subject": "杯子", "status": "published"}
        return Answer({"productInfo": info})

    with HostileGateway(answer) as gateway:
        finished = crawl(
            scrapy,
            gateway,
            ids(60),
            ALI1688_PROTOCOL="param2",
            ALI1688_PRODUCT_API="com.alibaba.product:alibaba.product.get-1",
            ALI1688_GATEWAY=f"http://127.0.0.1:{gateway.port}/openapi",
            ALI1688_ACCESS_TOKEN="access-token-void",
            ALI1688_REFRESH_TOKEN="refresh-token-good",
            ALI1688_MAX_ATTEMPTS="1",
        )
    finished.ended_well()
    assert account(finished) == {"collected": list(ids(60)), "failed": []}
    assert finished.log.count("The token API takes no calls") == 1
    assert finished.log.count("The token API is back after") == 1
