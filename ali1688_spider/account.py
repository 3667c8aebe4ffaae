"""What all calls of a crawl share: credentials, protocol, APIs, the gateway's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ali1688_spider.gateway.catalogue import choose_apis
from ali1688_spider.gateway.clock import GatewayClock
from ali1688_spider.gateway.protocols import wire_protocol

if TYPE_CHECKING:
    from scrapy.settings import BaseSettings

    from ali1688_spider.configuration import Configuration
    from ali1688_spider.gateway.calls import ApiCall
    from ali1688_spider.gateway.protocols import WireCall


class Account:
    """One app's access to the platform.

    Attributes:
        configuration: The checked settings.
        apis: The APIs that are called for products and searches.
        clock: The gateway's time.
        access_token: The token in use; empty when none is configured.
    """

    def __init__(self, configuration: Configuration, settings: BaseSettings) -> None:
        self.configuration = configuration
        self.settings = settings
        self.apis = choose_apis(
            configuration.protocol, configuration.product_api, configuration.search_api
        )
        self.clock = GatewayClock()
        self.access_token = configuration.access_token
        self._protocol = wire_protocol(configuration)

    def address(self, call: ApiCall) -> str:
        """Return the URL that *call* goes to, without anything secret."""
        return self._protocol.address(self.apis.name(call))

    def sign(self, call: ApiCall) -> WireCall:
        """Return *call*, signed at this moment."""
        return self._protocol.sign(
            self.apis.name(call),
            self.apis.parameters(call),
            access_token=self.access_token,
            clock=self.clock,
        )
