from __future__ import annotations

import pytest

from ali1688_spider.sandbox.admission import param2_signature, router_signature, top_signature
from ali1688_spider.sandbox.refusals import RefusedError

TOKEN = "00000000-1111-2222-3333-444444444444"
TOP_PARAMS = {
    "method": "taobao.item.seller.get",
    "app_key": "12345678",
    "session": "test",
    "timestamp": "2016-01-01 12:00:00",
    "format": "json",
    "v": "2.0",
    "sign_method": "md5",
    "fields": "num_iid,title,nick,price,num",
    "num_iid": "11223344",
}


@pytest.mark.parametrize(
    ("path", "params", "signature"),
    [
        (
            "param2/1/system/currentTime/1000000",
            {"a": "1", "b": "2"},
            "33E54F4F7B989E3E0E912D3FBD2F1A03CA7CCE88",
        ),
        (
            "param2/1/com.alibaba.product/alibaba.product.get/1000000",
            {
                "productID": "584051070147",
                "webSite": "1688",
                "access_token": TOKEN,
                "_aop_timestamp": "1700000000000",
            },
            "C8FA97F89772C2E3A69812A5A32F2E5393A4EA6D",
        ),
        (
            "param2/1/com.alibaba.fenxiao.crossborder/product.search.keywordQuery/1000000",
            {
                "offerQueryParam": (
                    '{"keyword":"手机壳","beginPage":1,"pageSize":20,"country":"en"}'
                ),
                "access_token": TOKEN,
                "_aop_timestamp": "1700000000000",
            },
            "59F5F085B1D25B3F269D31BAEC6EB2271BB29C3C",
        ),
    ],
)
def test_param2(path: str, params: dict[str, str], signature: str) -> None:
    assert param2_signature(path, params, "test123") == signature


def test_param2_ignores_empty_values_and_the_signature_itself() -> None:
    path = "param2/1/system/currentTime/1000000"
    params = {"b": "2", "a": "1", "c": "", "_aop_signature": "X"}
    assert param2_signature(path, params, "test123") == "33E54F4F7B989E3E0E912D3FBD2F1A03CA7CCE88"


def test_param2_sorts_the_joined_pairs() -> None:
    # By name keyword comes first; joined, "keywordTranslate1" < "keywordz".
    expected = param2_signature("p", {"keywordTranslate": "1", "keywordz": ""}, "s")
    assert param2_signature("p", {"keyword": "z", "keywordTranslate": "1"}, "s") == (
        param2_signature("pkeywordTranslate1keywordz", {}, "s")
    )
    assert expected == param2_signature("pkeywordTranslate1", {}, "s")


def test_top_md5() -> None:
    assert top_signature(TOP_PARAMS, "helloworld") == "66987CB115214E59E6EC978214934FB8"


@pytest.mark.parametrize(
    ("method", "length"),
    [("hmac", 32), ("hmac-sha256", 64)],
)
def test_top_hmac_has_the_length_of_its_digest(method: str, length: int) -> None:
    signature = top_signature(TOP_PARAMS | {"sign_method": method}, "helloworld")
    assert len(signature) == length
    assert signature == signature.upper()


def test_top_refuses_another_method() -> None:
    with pytest.raises(RefusedError, match="invalid-parameter"):
        top_signature(TOP_PARAMS | {"sign_method": "sha1"}, "helloworld")


def test_router() -> None:
    assert router_signature(TOP_PARAMS, "helloworld") == "1189E9450CEFF06017BDD4957467A103"
