from __future__ import annotations

import pytest

from ali1688_spider.gateway.protocols import sign_param2, sign_router, sign_top

# Sources: the signature page of the 1688 Open Platform (the first); the others were computed twice,
# independently of this project.
PARAM2 = [
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
            "access_token": "00000000-1111-2222-3333-444444444444",
            "_aop_timestamp": "1700000000000",
        },
        "C8FA97F89772C2E3A69812A5A32F2E5393A4EA6D",
    ),
    (
        "param2/1/com.alibaba.fenxiao.crossborder/product.search.keywordQuery/1000000",
        {
            "offerQueryParam": '{"keyword":"手机壳","beginPage":1,"pageSize":20,"country":"en"}',
            "access_token": "00000000-1111-2222-3333-444444444444",
            "_aop_timestamp": "1700000000000",
        },
        "59F5F085B1D25B3F269D31BAEC6EB2271BB29C3C",
    ),
]
# Source: the signature page of the Taobao Open Platform.
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


@pytest.mark.parametrize(("url_path", "params", "signature"), PARAM2)
def test_param2(url_path: str, params: dict[str, str], signature: str) -> None:
    assert sign_param2(url_path, params, "test123") == signature


def test_param2_ignores_the_order_of_the_parameters() -> None:
    url_path, params, signature = PARAM2[1]
    assert sign_param2(url_path, dict(reversed(params.items())), "test123") == signature


def test_param2_sorts_whole_pairs() -> None:
    # "keywordTranslate" + "x" comes before "keyword" + "z", though its name comes after.
    by_pair = sign_param2("path", {"keyword": "z", "keywordTranslate": "x"}, "secret")
    joined_in_order = sign_param2("path", {"keywordTranslatexkeyword": "z"}, "secret")
    assert by_pair == joined_in_order


def test_top_md5() -> None:
    assert sign_top(TOP_PARAMS, "helloworld", "md5") == "66987CB115214E59E6EC978214934FB8"


def test_top_hmac_methods() -> None:
    # Computed with: openssl dgst -md5 -hmac helloworld, openssl dgst -sha256 -hmac helloworld
    params = {"a": "1", "b": "手"}
    assert sign_top(params, "helloworld", "hmac") == "BC8BD2936E6D330C3C718F53E03D52E6"
    assert (
        sign_top(params, "helloworld", "hmac-sha256")
        == "90C89B6FAE3B2112D9F292A6898C4C1EC9A56DAEA746B5AB913BB16371E8B8B0"
    )


def test_router_puts_the_secret_at_the_end_only() -> None:
    assert sign_router(TOP_PARAMS, "helloworld") == "1189E9450CEFF06017BDD4957467A103"
