from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from redis import Redis
from scrapy.settings import Settings

from ali1688_spider import settings
from ali1688_spider.config import Config
from ali1688_spider.diagnosis.gateway import api_finding
from ali1688_spider.diagnosis.servers import redis_findings
from ali1688_spider.gateway.errors import CallError
from ali1688_spider.gateway.protocols import WireResponse
from ali1688_spider.gateway.response import read_response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ali1688_spider.diagnosis import Finding


CREDENTIALS = {"ALI1688_APP_KEY": "1000000", "ALI1688_APP_SECRET": "test123"}


def refusal(protocol: str, body: str) -> CallError:
    with pytest.raises(CallError) as caught:
        read_response(protocol, WireResponse(200, {}, body.encode()))
    return caught.value


@pytest.mark.parametrize(
    ("protocol", "code", "finding"),
    [
        ("param2", "gw.APIUnsupported", "fail: does not exist (gw.APIUnsupported"),
        ("router", "22", "fail: does not exist. Check the name and version in ALI1688_PRODUCT_API"),
        ("param2", "gw.APIACLDecline", "fail: may not be used (gw.APIACLDecline"),
        ("router", "11", "fail: may not be used (11: "),
        ("param2", "gw.NoUsageLeftError", "fail: may not be used (gw.NoUsageLeftError"),
        ("param2", "gw.ParamMissing", "ok: may be used"),
        ("router", "40", "ok: may be used"),
        ("param2", "401", "warn: cannot be known before the access token is accepted"),
        ("param2", "gw.QosAppFrequencyLimit", "warn: cannot be known now (gw.QosAppFrequencyLimit"),
        ("router", "15", "fail: 15: service (HTTP 200). The platform is in trouble"),
    ],
)
def test_what_a_call_without_parameters_tells_of_an_api(
    protocol: str, code: str, finding: str
) -> None:
    named = f'{{"error_code": "{code}"}}'
    numbered = f'{{"error_response": {{"code": {code}}}}}'
    error = refusal(protocol, named if protocol == "param2" else numbered)
    found = api_finding("some.api", error)
    assert found.subject == "API some.api"
    assert f"{found.status}: {found.text}".startswith(finding)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        before = [client.config_get(name) for name in ("maxmemory-policy", "appendonly")]
        yield client
        for [(name, value)] in map(dict.items, before):
            client.config_set(name, value)


def test_a_redis_that_can_lose_calls(redis: Redis) -> None:
    defaults = {name: getattr(settings, name) for name in dir(settings) if name.isupper()}
    config = Config.from_settings(Settings(defaults | CREDENTIALS))

    def warnings() -> list[Finding]:
        found = redis_findings(config, redis)
        return [each for each in found if each.subject == "Redis" and each.status != "ok"]

    assert warnings() == []
    redis.config_set("maxmemory-policy", "allkeys-lru")
    redis.config_set("appendonly", "no")
    eviction, persistence = warnings()
    assert (eviction.status, persistence.status) == ("warn", "warn")
    assert eviction.text.startswith("its maxmemory-policy is allkeys-lru, ")
    assert eviction.text.endswith("set it to noeviction")
    assert persistence.text.endswith("set appendonly to yes")
