"""Decompresses responses; one that cannot be decompressed is unreadable like any other."""

from __future__ import annotations

import logging

from scrapy import Request
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response

logger = logging.getLogger(__name__)


class CompressionMiddleware(HttpCompressionMiddleware):
    """Scrapy's, which raises whatever the decompressing library does: past all middlewares.

    The response then stays as it came: either its header was wrong, and it can be read, or the
    errors middleware finds that it cannot.
    """

    def process_response(  # type: ignore[override]  # Scrapy's third argument is deprecated
        self, request: Request, response: Response
    ) -> Request | Response:
        """Return the response decompressed.

        Raises:
            IgnoreRequest: It is longer than ``DOWNLOAD_MAXSIZE`` when decompressed.
        """
        try:
            return super().process_response(request, response)
        except IgnoreRequest:
            raise
        # Each library has errors of its own, and they share no base.
        except Exception as error:  # noqa: BLE001
            logger.info("%s cannot be decompressed: %s", response, type(error).__name__)
            return response
