"""``scrapy dashboard``: a live page of what ``scrapy status`` shows, and metrics for Prometheus."""

from __future__ import annotations

import argparse
import asyncio
import logging
from typing import TYPE_CHECKING, ClassVar

from ali1688_spider.config import Config
from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.project_command import ProjectCommand, serve
from ali1688_spider.redaction import redact_logs

if TYPE_CHECKING:
    from ali1688_spider.dashboard.access import Access

logger = logging.getLogger(__name__)

PORT = 8088
MOST_PORT = 65535
GRACE_SECONDS = 1.0


class Command(ProjectCommand):
    is_service: ClassVar[bool] = True
    usage = "[--host HOST] [--port PORT] [--name NAME …]"
    summary = "Serve a live page of queues, crawls, workers, quota, failures and products"
    description = (
        "Serves a page that shows live what scrapy status shows, the products and their changes, "
        "and /metrics for Prometheus, /api/state, /api/events and /healthz for programs. On "
        "another address than loopback it asks for ALI1688_DASHBOARD_TOKEN."
    )

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        super().add_options(parser)
        add = parser.add_argument
        add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        add("--port", type=int, default=PORT, help=f"port (default: {PORT}); 0: any free one")
        text = "host name under which it is reached, as behind a proxy; may be given repeatedly"
        add("--name", action="append", default=[], metavar="NAME", help=text)

    def execute(self, args: list[str], opts: argparse.Namespace) -> None:
        from ali1688_spider.dashboard.access import Access

        if args:
            raise ConfigurationError(f"{args[0]!r} is not understood: scrapy dashboard -h")
        if not 0 <= opts.port <= MOST_PORT:
            raise ConfigurationError(f"--port is {opts.port}: say one from 0 to {MOST_PORT}")
        config = Config.from_settings(self.settings)
        redact_logs(*config.secrets)
        access = Access.of(opts.host, config.dashboard_token, opts.name)
        asyncio.run(self._serve(config, access, opts.port))

    async def _serve(self, config: Config, access: Access, port: int) -> None:
        from ali1688_spider.dashboard.server import Dashboard
        from ali1688_spider.monitoring.reading import StateReader

        # One that was made up for this run is nowhere else.
        token = "" if config.dashboard_token else f"#token={access.token}"

        def announce(address: str) -> None:
            print(f"Dashboard: {address}{token}", flush=True)

        app = Dashboard(self.settings, StateReader(self.settings, config)).app(access)
        await serve(app, access.host, port, announce, GRACE_SECONDS)
        logger.info("Ended")
