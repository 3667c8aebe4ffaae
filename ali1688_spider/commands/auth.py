"""``scrapy auth``: has a user authorise the app, and keeps the tokens."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from scrapy_redis import connection

from ali1688_spider.config import Config
from ali1688_spider.context import token_address, token_store
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.clock import GatewayClock
from ali1688_spider.gateway.errors import CallError, read_answer
from ali1688_spider.gateway.tokens import TokenGrant, authorization_url, exchange_parameters
from ali1688_spider.project_command import ProjectCommand

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

TIMEOUT_SECONDS = 30


class Command(ProjectCommand):
    """Prints the address where a user authorises the app, and exchanges the code for tokens."""

    def syntax(self) -> str:
        return "--redirect-uri URL [--code CODE]"

    def short_desc(self) -> str:
        return "Authorise the app for a 1688 account"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        parser.add_argument(
            "--redirect-uri",
            default="",
            help="the callback address that the app is registered with",
        )
        parser.add_argument(
            "--code", default="", help="what the user was sent back with (or that whole address)"
        )

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        assert self.settings is not None
        config = Config.from_settings(self.settings)
        if not opts.redirect_uri:
            raise ConfigurationError(
                "say --redirect-uri URL: the callback address that the app is registered with"
            )
        if not opts.code:
            state = secrets.token_urlsafe(16)
            print("Open this address, log in and agree:\n")
            print(f"  {authorization_url(config.app_key, opts.redirect_uri, state)}\n")
            print(f"You are sent to {opts.redirect_uri}?code=…&state={state}")
            print("Within ten minutes, run:\n")
            print(f"  scrapy auth --redirect-uri {opts.redirect_uri} --code CODE")
            return
        try:
            asyncio.run(self._exchange(config, _code(opts.code), opts.redirect_uri))
        except CallError as error:
            raise ConfigurationError(f"{error}. {error.advice}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConfigurationError(
                f"the gateway does not answer ({type(error).__name__}): check ALI1688_GATEWAY"
            ) from None

    async def _exchange(self, config: Config, code: str, redirect_uri: str) -> None:
        answer = await _post(
            token_address(config),
            exchange_parameters(
                config.app_key,
                config.app_secret,
                code=code,
                redirect_uri=redirect_uri,
            ),
        )
        configured = TokenGrant.configured(config.access_token, config.refresh_token)
        now = GatewayClock().now()
        grant = TokenGrant.from_answer(answer, now=now, origin=configured.origin)
        client = connection.from_settings(self.settings) if config.redis_url else None
        await token_store(config, client).save(grant)
        print("The tokens are kept; crawls use and renew them.")
        print(f"The access token ends {_moment(grant.expires_at)},")
        print(f"the refresh token {_moment(grant.refresh_expires_at)}.")


async def _post(url: str, form: dict[str, str]) -> Any:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
        session.post(url, data=form, allow_redirects=False) as response,
    ):
        return read_answer("param2", response.status, response.headers, await response.read())


def _code(text: str) -> str:
    """Return the code, also of the whole address that the user was sent to."""
    codes = parse_qs(urlsplit(text).query).get("code", [])
    return codes[0] if codes else text


def _moment(moment: datetime | None) -> str:
    return "at a time that the platform does not tell" if moment is None else f"{moment:%F %R} UTC"
