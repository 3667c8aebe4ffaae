"""``scrapy auth``: prints the address where a user authorises the app, and keeps the tokens."""

from __future__ import annotations

import argparse
import secrets
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

from ali1688_spider.config import Config
from ali1688_spider.context import client_for, redis_client
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.gateway.errors import CallError, TransportError
from ali1688_spider.gateway.tokens import authorization_url
from ali1688_spider.project_command import ProjectCommand


class Command(ProjectCommand):
    usage = "--redirect-uri URL [--code CODE]"
    summary = "Authorise the app for a 1688 account"

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--redirect-uri", default="", help="callback address that the app is registered with")
        add("--code", default="", help="what the user was sent back with (or that whole address)")

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
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
            print("The code works once and for two minutes, so run at once:\n")
            print(f"  scrapy auth --redirect-uri {opts.redirect_uri} --code CODE")
            return
        client = client_for(config, redis_client(config, self.settings))
        try:
            grant = client.authorise(_code(opts.code), opts.redirect_uri)
        except TransportError as error:
            raise ConfigurationError(
                f"the gateway does not answer ({error}): check ALI1688_GATEWAY. {error.advice}"
            ) from None
        except CallError as error:
            raise ConfigurationError(f"{error}. {error.advice}") from None
        print("The tokens are kept; crawls use and renew them.")
        print(f"The access token ends {_moment(grant.expires_at)},")
        print(f"the refresh token {_moment(grant.refresh_expires_at)}.")


def _code(text: str) -> str:
    """Return the code, also of the whole address that the user was sent to."""
    codes = parse_qs(urlsplit(text).query).get("code", [])
    return codes[0] if codes else text


def _moment(moment: datetime | None) -> str:
    return "at an unknown time" if moment is None else f"{moment:%F %R} UTC"
