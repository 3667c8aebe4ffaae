from __future__ import annotations

import pytest
from scrapy.settings import Settings

from ali1688_spider.delivery.settings import DeliverySettings
from ali1688_spider.exceptions import ConfigurationError


def test_nothing_is_set() -> None:
    assert DeliverySettings.from_settings(Settings()) == DeliverySettings(
        webhook_url="",
        webhook_secret="",
        fields=("price", "stock", "status", "name"),
        min_percent=0.0,
    )


def test_all_is_set() -> None:
    settings = Settings(
        {
            "ALI1688_WEBHOOK_URL": "https://example.com/hook?token=s3cret",
            "ALI1688_WEBHOOK_SECRET": "s3cret",
            "ALI1688_CHANGE_FIELDS": "stock, price",
            "ALI1688_CHANGE_MIN_PERCENT": "2.5",
        }
    )
    delivery = DeliverySettings.from_settings(settings)
    assert delivery.fields == ("price", "stock")
    assert delivery.min_percent == 2.5
    assert delivery.webhook_url == "https://example.com/hook?token=s3cret"
    assert "s3cret" not in repr(delivery)


@pytest.mark.parametrize(
    ("name", "value", "way_out"),
    [
        ("ALI1688_WEBHOOK_URL", "example.com/hook", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", "http://[", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", "https://", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", "http://a..b/", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", "http://.example/", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", f"http://{'a' * 64}.example/", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", "http://exa mple.com/", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", "http://1.2.3.4.5/", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", "http://a:b@/hook", "begin it with https://"),
        ("ALI1688_WEBHOOK_URL", "http://example.com:99999/", "begin it with https://"),
        ("ALI1688_CHANGE_FIELDS", "price,colour", "use price, stock, status, name"),
        ("ALI1688_CHANGE_MIN_PERCENT", "-1", "set it to a number of per cent"),
        ("ALI1688_CHANGE_MIN_PERCENT", "five", "set it to a number of per cent"),
    ],
)
def test_a_wrong_value(name: str, value: str, way_out: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}.*{way_out}"):
        DeliverySettings.from_settings(Settings({name: value, "ALI1688_WEBHOOK_SECRET": "x"}))


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/hook",
        "https://user:s3cret@example.com./hook?a=b",
        "http://[::1]:8080/",
        "http://127.0.0.1/",
        "https://bücher.example/",
        "http://my_service/",
    ],
)
def test_an_address_that_may_be_reached(url: str) -> None:
    settings = Settings({"ALI1688_WEBHOOK_URL": url, "ALI1688_WEBHOOK_SECRET": "x"})
    assert DeliverySettings.from_settings(settings).webhook_url == url


def test_a_webhook_needs_a_secret() -> None:
    settings = Settings({"ALI1688_WEBHOOK_URL": "https://example.com"})
    with pytest.raises(ConfigurationError, match=r"^ALI1688_WEBHOOK_SECRET is missing: set it"):
        DeliverySettings.from_settings(settings)
