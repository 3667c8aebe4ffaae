"""Looks at Redis, the quota that is counted there, MongoDB and the webhook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from ali1688_spider.delivery.webhook import open_session, post
from ali1688_spider.diagnosis import Finding
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.quota.breaker import RedisOutage
from ali1688_spider.quota.limits import RedisQuota
from ali1688_spider.redaction import redact_url
from ali1688_spider.redis_server import durability_risks
from ali1688_spider.storage.database import connect
from ali1688_spider.storage.database_errors import StoreUnavailableError, explain

if TYPE_CHECKING:
    from ali1688_spider.config import Config


def redis_findings(config: Config, client: Any) -> Iterator[Finding]:
    """Yield what is found of Redis; *client* is None without ``REDIS_URL``."""
    if client is None:
        yield Finding("ok", "Redis", "REDIS_URL is empty: one process works alone")
        limit = f"{config.daily_quota:,} a day" if config.daily_quota else "no limit"
        yield Finding("ok", "Quota", f"{limit}, counted by each crawl for itself")
        return
    address = redact_url(config.redis_url)
    try:
        client.ping()
    except (AuthenticationError, NoPermissionError) as error:
        advice = "correct user name and password in REDIS_URL"
        yield Finding("fail", "Redis", f"{address} refuses us ({error}): {advice}")
        return
    except RedisError as error:
        advice = "start it, or correct REDIS_URL; workers wait for it"
        yield Finding("fail", "Redis", f"{address} does not answer ({error}): {advice}")
        return
    yield Finding("ok", "Redis", f"{address} answers")
    for risk in durability_risks(client):
        yield Finding("warn", "Redis", risk)
    yield from _quota_findings(config, client)


def end_pause(config: Config, client: Any) -> Finding:
    """End the pause that the platform asked for; return what came of it."""
    if client is None:
        return Finding("ok", "Pause", "REDIS_URL is empty: a pause ends with its crawl")
    try:
        _redis_quota(config, client).pause(0)
    except RedisError as error:
        return Finding("fail", "Pause", f"Redis rejects the command: {error}")
    return Finding("ok", "Pause", "is over; the workers go on within 15 s")


def _quota_findings(config: Config, client: Any) -> Iterator[Finding]:
    """Yield why the workers of this app make no calls at present, and how many are left today."""
    try:
        usage = _redis_quota(config, client).usage()
        outage = RedisOutage(client, config.app_key).is_known()
    except RedisError as error:
        yield Finding("fail", "Quota", f"Redis rejects the command: {error}")
        return
    if usage.paused_seconds:
        yield Finding(
            "warn",
            "Pause",
            f"no call is made for another {usage.paused_seconds:.0f} s, since the platform asked "
            "to wait: lower ALI1688_QPS if it happens often; scrapy doctor --end-pause ends the "
            "pause",
        )
    if outage:
        text = "the workers found that the gateway takes no calls; one at a time tries it"
        yield Finding("warn", "Outage", f"{text}, the others wait")
    left = max(0, usage.daily_quota - usage.used)  # the quota may have been lowered
    text = f"{left:,} of {usage.daily_quota:,} calls are left today (GMT+8)"
    if not usage.daily_quota:
        yield Finding("ok", "Quota", f"{usage.used:,} calls today, no daily limit")
    elif left > 0:
        yield Finding("ok", "Quota", text)
    else:
        yield Finding("fail", "Quota", f"{text}: wait for tomorrow, or raise ALI1688_DAILY_QUOTA")


def _redis_quota(config: Config, client: Any) -> RedisQuota:
    return RedisQuota(client, config.app_key, config.qps, config.daily_quota)


async def mongo_finding(config: Config) -> Finding:
    """Return what is found of MongoDB."""
    if not config.mongo_uri:
        return Finding("ok", "MongoDB", "MONGO_URI is empty: products go to feeds only")
    try:
        database = connect(config.mongo_uri, config.mongo_database)
    except ConfigurationError as error:
        return Finding("fail", "MongoDB", str(error))
    try:
        count = await database["products"].estimated_document_count()
    except PyMongoError as error:
        return Finding("fail", "MongoDB", explain(error))
    finally:
        await database.client.close()
    return Finding("ok", "MongoDB", f"answers; {config.mongo_database} has {count:,} products")


async def webhook_finding(config: Config) -> Finding | None:
    """Return how the webhook takes a test message; None when there is none."""
    url, secret = config.delivery.webhook_url, config.delivery.webhook_secret
    if not url:
        return None
    text = "scrapy doctor tests this webhook: there is nothing to do"
    try:
        async with open_session() as session:
            await post(session, url, secret, {"test": True, "message": text, "changes": []})
    except StoreUnavailableError as error:
        advice = "correct ALI1688_WEBHOOK_URL or look at its receiver; changes wait until then"
        return Finding("fail", "Webhook", f"a signed test message is not taken, {error}: {advice}")
    return Finding("ok", "Webhook", "takes a signed test message")
