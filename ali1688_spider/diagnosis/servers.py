"""Looks at Redis, the quota that is counted there, and MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from ali1688_spider.diagnosis.finding import Finding
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.quota.breaker import RedisOutage
from ali1688_spider.quota.limits import RedisQuota
from ali1688_spider.redaction import redact_url
from ali1688_spider.redis_server import durability_risks
from ali1688_spider.storage.database import connect, ping
from ali1688_spider.storage.errors import StoreUnavailableError, explain

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    yield from redis_warnings(client)
    yield from _held_back(config, client)
    yield _quota(config, client)


def redis_warnings(client: Any) -> Iterator[Finding]:
    """Return which settings of the Redis server can lose queued calls."""
    return (Finding("warn", "Redis", risk) for risk in durability_risks(client))


def end_pause(config: Config, client: Any) -> Finding:
    """End the pause that the platform asked for; return what came of it."""
    if client is None:
        return Finding("ok", "Pause", "REDIS_URL is empty: a pause ends with its crawl")
    try:
        _redis_quota(config, client).pause(0)
    except RedisError as error:
        return Finding("fail", "Pause", f"Redis rejects the command: {error}")
    return Finding("ok", "Pause", "is over; the workers go on within 15 s")


def _held_back(config: Config, client: Any) -> Iterator[Finding]:
    """Yield why the workers of this app make no calls at present."""
    try:
        paused = _redis_quota(config, client).usage().paused_seconds
        outage = RedisOutage(client, config.app_key).is_known()
    except RedisError:
        return  # said where the quota is looked at
    if paused:
        yield Finding(
            "warn",
            "Pause",
            f"no call is made for another {paused:.0f} s, since the platform asked to wait: lower "
            "ALI1688_QPS if it happens often; scrapy doctor --end-pause ends the pause",
        )
    if outage:
        yield Finding(
            "warn",
            "Outage",
            "the workers found that the gateway takes no calls; one at a time tries it, the others "
            "wait",
        )


def _redis_quota(config: Config, client: Any) -> RedisQuota:
    return RedisQuota(client, config.app_key, config.qps, config.daily_quota)


def _quota(config: Config, client: Any) -> Finding:
    quota = _redis_quota(config, client)
    try:
        usage = quota.usage()
    except RedisError as error:
        return Finding("fail", "Quota", f"Redis rejects the command: {error}")
    if not usage.daily_quota:
        return Finding("ok", "Quota", f"{usage.used:,} calls today, no daily limit")
    left = usage.daily_quota - usage.used
    text = f"{left:,} of {usage.daily_quota:,} calls are left today (GMT+8)"
    if left > 0:
        return Finding("ok", "Quota", text)
    return Finding("fail", "Quota", f"{text}: wait for tomorrow, or raise ALI1688_DAILY_QUOTA")


async def mongo_finding(config: Config) -> Finding:
    """Return what is found of MongoDB."""
    if not config.mongo_uri:
        return Finding("ok", "MongoDB", "MONGO_URI is empty: products go to feeds only")
    try:
        database = connect(config.mongo_uri, config.mongo_database)
    except ConfigurationError as error:
        return Finding("fail", "MongoDB", str(error))
    try:
        await ping(database)
        count = await database["products"].estimated_document_count()
    except StoreUnavailableError as error:
        return Finding("fail", "MongoDB", str(error))
    except PyMongoError as error:
        return Finding("fail", "MongoDB", explain(error))
    finally:
        await database.client.close()
    return Finding("ok", "MongoDB", f"answers; {config.mongo_database} has {count:,} products")
