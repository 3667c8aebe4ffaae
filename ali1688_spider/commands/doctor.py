"""``scrapy doctor``: looks at everything that a crawl depends on, and says what to do about it.

It prints one line for each thing; the exit code is 1 when one of them fails.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import closing
from itertools import chain
from typing import Any

from redis.exceptions import RedisError

from ali1688_spider.config import Config, misnamed
from ali1688_spider.context import client_for, data_folder, redis_client
from ali1688_spider.diagnosis import Finding
from ali1688_spider.diagnosis.gateway import gateway_findings, messages_finding
from ali1688_spider.diagnosis.servers import (
    end_pause,
    mongo_finding,
    redis_findings,
    webhook_finding,
)
from ali1688_spider.gateway.errors import TokenStoreError
from ali1688_spider.private_files import env_file, environment, is_open_to_others
from ali1688_spider.project_command import ProjectCommand, rough_time
from ali1688_spider.redaction import SecretRedactor
from ali1688_spider.watching.hints import RedisHintStore, SqliteHintStore
from ali1688_spider.watching.sqlite_store import FILE_NAME


class Command(ProjectCommand):
    usage = "[--end-pause]"
    summary = "Check credentials, clock, permissions, Redis, MongoDB and the webhook"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        text = "let the workers go on before the pause that the platform asked for ends"
        parser.add_argument("--end-pause", action="store_true", help=text)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        config = Config.from_settings(self.settings)
        self._redactor = SecretRedactor(config.secrets)
        self._show(Finding("ok", "Settings", "are complete"))
        self._show(_env_file())
        for sentence in misnamed(self.settings, environment(warn=False)):
            self._show(Finding("warn", "Variables", sentence))
        redis = redis_client(config, self.settings)
        if opts.end_pause:
            self._show(end_pause(config, redis))
        client = client_for(config, redis, self._redactor)
        try:
            asyncio.run(client.tokens.load())  # those that a crawl would use
        except TokenStoreError as error:
            self._show(Finding("warn", "Kept tokens", f"{error}. {error.advice}"))
        for finding in chain(gateway_findings(client), redis_findings(config, redis)):
            self._show(finding)
        is_wanted = config.messages == "poll"
        if config.protocol == "param2" and (
            found := messages_finding(client, _last_message(redis), is_wanted=is_wanted)
        ):
            self._show(found)
        self._show(asyncio.run(mongo_finding(config)))
        if webhook := asyncio.run(webhook_finding(config)):
            self._show(webhook)

    def _show(self, finding: Finding) -> None:
        if finding.status == "fail":
            self.exitcode = 1
        text = self._redactor.redact(finding.text)
        label = "ok" if finding.status == "ok" else finding.status.upper()
        print(f"{label:4}  {finding.subject}: {text}")


def _last_message(redis: Any) -> str:
    """Return ``12 min ago, by poll``; empty when no message of the platform was ever kept here."""
    path = data_folder() / FILE_NAME
    if not redis and not path.exists():
        return ""
    with closing(RedisHintStore(redis) if redis else SqliteHintStore(path)) as store:
        try:
            times = store.last_kept()
        except RedisError:  # of which its own finding tells
            return ""
    if not times:
        return ""
    source, at = max(times.items(), key=lambda each: each[1])
    return f"{rough_time(max(0.0, time.time() - at))} ago, by {source}"


def _env_file() -> Finding:
    path = env_file()
    if path is None:
        return Finding("ok", ".env", "there is none")
    if is_open_to_others(path):
        return Finding("warn", ".env", f"others can read your secrets: run chmod 600 {path}")
    return Finding("ok", ".env", f"{path} is yours alone")
