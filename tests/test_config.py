from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from scrapy import Request
from scrapy.settings import Settings

from ali1688_spider.config import DEFAULTS, Config, read_setting, strip_settings
from ali1688_spider.exceptions import ConfigurationError
from tests.harness import Scrapy

if TYPE_CHECKING:
    from pathlib import Path

CREDENTIALS = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}


def config(**changes: Any) -> Config:
    return Config.from_settings(Settings(CREDENTIALS | changes))


@pytest.mark.parametrize("given", [{}, dict.fromkeys(set(DEFAULTS) - set(CREDENTIALS), " ")])
def test_the_defaults(given: dict[str, str]) -> None:
    read = config(**given)
    assert (read.protocol, read.gateway) == ("router", "https://gw.api.1688.com/router/json")
    assert (read.qps, read.daily_quota, read.cache_ttl) == (2.0, 100000, 60.0)
    assert (read.max_attempts, read.lease_seconds) == (5, 60.0)
    assert (read.redis_url, read.mongo_uri, read.mongo_database) == ("", "", "ali1688")
    assert (read.delivery.webhook_url, read.delivery.min_percent) == ("", 0)
    assert read.delivery.fields == (
        *("price", "stock", "status", "name", "promotion_price", "available"),
    )


@pytest.mark.parametrize(
    ("protocol", "gateway"),
    [
        ("param2", "https://gw.open.1688.com/openapi"),
        ("top", "https://gw.api.taobao.com/router/rest"),
    ],
)
def test_each_protocol_has_its_gateway(protocol: str, gateway: str) -> None:
    assert config(ALI1688_PROTOCOL=protocol).gateway == gateway


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("http://LOCALHOST:8000/Router/json", "http://localhost:8000/Router/json"),
        ("HTTPS://gw.api.1688.com:443/router/json", "https://gw.api.1688.com/router/json"),
        ("http://localhost:80/openapi", "http://localhost/openapi"),
        ("http://localhost.:8000/openapi/", "http://localhost:8000/openapi"),
        ("https://gw.open.1688.com./openapi//", "https://gw.open.1688.com/openapi"),
        ("  https://gw.open.1688.com/openapi ", "https://gw.open.1688.com/openapi"),
        ("http://[::1]:8000/openapi", "http://[::1]:8000/openapi"),
        ("https://网关.example/openapi", "https://xn--d6q013i.example/openapi"),
    ],
)
def test_an_address_has_one_spelling(written: str, used: str) -> None:
    gateway = config(ALI1688_GATEWAY=written).gateway
    assert gateway == used
    assert Request(gateway).url == gateway


def test_what_is_checked_is_what_is_used() -> None:
    values = {"REDIS_URL": " redis://localhost/1 ", "MONGO_URI": "\tmongodb://localhost/"}
    settings = Settings(values)
    settings.set("ALI1688_WEBHOOK_URL", " https://example.com/", priority="cmdline")
    strip_settings(settings)
    assert settings["REDIS_URL"] == "redis://localhost/1"
    assert settings["MONGO_URI"] == "mongodb://localhost/"
    assert settings["ALI1688_WEBHOOK_URL"] == "https://example.com/"
    assert settings.getpriority("ALI1688_WEBHOOK_URL") == 40


def test_a_setting_alone_is_checked_as_with_the_others() -> None:
    assert read_setting(Settings({"ALI1688_DAILY_QUOTA": "1e5"}), "ALI1688_DAILY_QUOTA") == 100_000
    assert read_setting(Settings(), "MONGO_DATABASE") == "ali1688"
    for url in ("localhost", "redis://:pass-word/0@host"):
        settings = Settings(CREDENTIALS | {"REDIS_URL": url})
        with pytest.raises(ConfigurationError) as alone:
            read_setting(settings, "REDIS_URL")
        with pytest.raises(ConfigurationError) as with_others:
            Config.from_settings(settings)
        assert str(alone.value) == str(with_others.value)
        assert "pass-word" not in str(alone.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALI1688_APP_KEY", ""),
        ("ALI1688_APP_SECRET", "  "),
        ("ALI1688_PROTOCOL", "soap"),
        ("ALI1688_GATEWAY", "gw.open.1688.com/openapi"),
        ("ALI1688_GATEWAY", "ftp://gw.open.1688.com"),
        ("ALI1688_GATEWAY", "https://host:port/"),
        ("ALI1688_GATEWAY", "https://user:pass-word@host/"),
        ("ALI1688_GATEWAY", "https://user@host/"),
        ("ALI1688_GATEWAY", "https://@host/"),
        ("ALI1688_GATEWAY", "https://host:0/"),
        ("ALI1688_GATEWAY", "https://a..b/"),
        ("ALI1688_GATEWAY", "https://host/with space"),
        ("ALI1688_GATEWAY", "https://host/?a=1"),
        ("ALI1688_SIGN_METHOD", "sha1"),
        ("ALI1688_HTTP_METHOD", "PUT"),
        ("ALI1688_LOG_FORMAT", "JSON"),
        ("ALI1688_QPS", "fast"),
        ("ALI1688_QPS", "-1"),
        ("ALI1688_QPS", "nan"),
        ("ALI1688_DAILY_QUOTA", "1.5"),
        ("ALI1688_CACHE_TTL", "inf"),
        ("ALI1688_MAX_ATTEMPTS", "0"),
        ("ALI1688_LEASE_SECONDS", "0.5"),
        ("ALI1688_HISTORY_DAYS", "week"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "rediss://host/?ssl_ca_cert=/ca.pem"),
        ("REDIS_URL", "rediss://host/?ssl_cert_reqs=maybe"),
        ("REDIS_URL", "redis://:a?pass-word=b@host/"),
        ("MONGO_URI", "localhost"),
        ("MONGO_URI", "mongodb://"),
        ("MONGO_URI", "mongodb://user:pass-word@pass/word@host/"),
        ("MONGO_URI", "mongodb://host:pass-word/"),
        ("MONGO_DATABASE", "a/b"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_its_setting(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        config(**{name: value})
    text = str(error.value)
    assert text.startswith(f"{name} ")
    assert "\n" not in text
    assert "pass-word" not in text


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://127.0.0.1",
        "mongodb://user:p%40ss@a:27017,b:27018/?replicaSet=rs0",
        "mongodb+srv://user:pass@cluster.example.invalid/?tls=true",
    ],
)
def test_an_address_of_mongodb(uri: str) -> None:
    assert config(MONGO_URI=uri).mongo_uri == uri


def test_all_of_delivery() -> None:
    delivery = config(
        ALI1688_WEBHOOK_URL="https://example.com/hook?token=s3cret",
        ALI1688_WEBHOOK_SECRET="s3cret",
        ALI1688_CHANGE_FIELDS="stock, price",
        ALI1688_CHANGE_MIN_PERCENT="2.5",
    ).delivery
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
        (
            "ALI1688_CHANGE_FIELDS",
            "price,colour",
            "use price, stock, status, name, promotion_price, available",
        ),
        ("ALI1688_CHANGE_MIN_PERCENT", "-1", "set it to a number of per cent"),
        ("ALI1688_CHANGE_MIN_PERCENT", "five", "set it to a number of per cent"),
    ],
)
def test_a_wrong_value_of_delivery(name: str, value: str, way_out: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}.*{way_out}"):
        config(**{"ALI1688_WEBHOOK_SECRET": "x", name: value})


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
    read = config(ALI1688_WEBHOOK_URL=url, ALI1688_WEBHOOK_SECRET="x")
    assert read.delivery.webhook_url == url


def test_a_webhook_needs_a_secret() -> None:
    with pytest.raises(ConfigurationError, match=r"^ALI1688_WEBHOOK_SECRET is missing: set it"):
        config(ALI1688_WEBHOOK_URL="https://example.com")


def test_secrets_are_not_shown() -> None:
    read = config(
        ALI1688_ACCESS_TOKEN="my-access-token",
        ALI1688_REFRESH_TOKEN="my-refresh-token",
        REDIS_URL="redis://:my-password@host/0",
        MONGO_URI="mongodb://me:my-password@host/",
    )
    assert read.secrets == ("test123", "my-access-token", "my-refresh-token")
    shown = repr(read)
    assert "test123" not in shown
    assert "my-" not in shown


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ALI1688_QPS=3\nALI1688_MAX_ATTEMPTS=7\nREDIS_URL=redis://a/\n")
    environment = {"ALI1688_QPS": "4", "REDIS_URL": ""}
    scrapy = Scrapy(tmp_path, tmp_path / "output", environment)

    def setting(name: str, *options: str) -> str:
        command = scrapy.run("settings", "--get", name, *options)
        assert command.exit_code == 0, command.log
        return command.stdout.strip()

    assert setting("ALI1688_MAX_ATTEMPTS") == "7"
    assert setting("ALI1688_QPS") == "4"
    assert setting("ALI1688_QPS", "-s", "ALI1688_QPS=5") == "5"
    # Set but empty: the file's value is switched off.
    assert setting("REDIS_URL") == ""


def test_the_language_of_translations() -> None:
    assert config().country == "en"
    assert config(ALI1688_COUNTRY="ja").country == "ja"
    with pytest.raises(ConfigurationError, match=r"^ALI1688_COUNTRY is 'xx': set it to one of en,"):
        config(ALI1688_COUNTRY="xx")
