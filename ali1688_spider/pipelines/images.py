"""Downloads the pictures of products, for ``-a images=1``."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Self

from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import Response
from scrapy.pipelines.images import ImagesPipeline
from scrapy.pipelines.media import FileException, FileInfo, FileInfoOrError, MediaPipeline
from scrapy.utils.defer import ensure_awaitable

from ali1688_spider.addon import context_of
from ali1688_spider.cache import CACHE_ERRORS
from ali1688_spider.http import ImageRequest
from ali1688_spider.items import Product


class ProductImages(ImagesPipeline):
    """Scrapy's, into ``IMAGES_STORE``: a folder, or S3 (``s3://bucket/folder/``).

    A file is named by its content, so that the same picture is stored once, whatever its addresses.
    What was downloaded is not downloaded again for ``IMAGES_EXPIRES`` days, whichever product
    has it. A picture that cannot be had takes no product along. Statistics, under
    ``ali1688/images/``: ``stored`` and ``missing``.
    """

    def __init__(self, *args: Any, crawler: Crawler, **kwargs: Any) -> None:
        super().__init__(*args, crawler=crawler, **kwargs)
        self._place = crawler.settings["IMAGES_STORE"]
        self._known = context_of(crawler).open_store("images.sqlite")

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build the pipeline; it is off unless the spider was started with ``-a images=1``."""
        arguments = getattr(crawler.spider, "arguments", None)
        if not getattr(arguments, "images", False):
            raise NotConfigured
        return super().from_crawler(crawler)

    def get_media_requests(self, item: Any, info: MediaPipeline.SpiderInfo) -> list[Any]:  # noqa: ARG002  # Scrapy's interface
        """Return a request for each picture of the product and of its SKUs."""
        return [ImageRequest(url) for url in dict.fromkeys(_addresses(item))]

    async def media_to_download(  # type: ignore[override]  # Scrapy awaits what it returns
        self,
        request: Any,
        info: MediaPipeline.SpiderInfo,
        *,
        item: Any = None,  # noqa: ARG002
    ) -> FileInfo | None:
        """Return the file of an address that was downloaded; None for others."""
        try:
            (kept,) = await asyncio.to_thread(self._known.get_many, [self._key(request.url)])
        except CACHE_ERRORS:
            return None
        file: FileInfo = json.loads(kept or b"{}")
        try:
            found: Any = self.store.stat_file(file["path"], info) if file else None
            is_there = await ensure_awaitable(found)
        except Exception:  # noqa: BLE001  # each storage has errors of its own: download it again
            return None
        return file if is_there else None

    async def media_downloaded(  # type: ignore[override]  # None stands for a picture that is not had
        self, response: Response, request: Any, info: MediaPipeline.SpiderInfo, *, item: Any = None
    ) -> FileInfo | None:
        """Store the picture, and remember its address; None, and a warning, for what is none."""
        try:
            file = await super().media_downloaded(response, request, info, item=item)
        except FileException:
            return None
        entry = {self._key(request.url): json.dumps(file).encode()}
        try:
            await asyncio.to_thread(self._known.put_many, entry, self.expires * 86_400)
        except CACHE_ERRORS:
            self.crawler.stats.inc_value("ali1688/cache/errors")
        return file

    def media_failed(self, failure: Any, request: Any, info: MediaPipeline.SpiderInfo) -> Any:
        """Return None for a picture that did not come; a warning says why."""
        with suppress(FileException):
            super().media_failed(failure, request, info)

    def item_completed(
        self,
        results: list[FileInfoOrError],
        item: Any,
        info: MediaPipeline.SpiderInfo,  # noqa: ARG002
    ) -> Any:
        """Note on the product where its pictures are."""
        if isinstance(item, Product):
            files: list[Any] = [file for _, file in results if isinstance(file, dict)]
            item.image_files = {file["url"]: file["path"] for file in files}
            self.crawler.stats.inc_value("ali1688/images/stored", len(files))
            self.crawler.stats.inc_value("ali1688/images/missing", len(results) - len(files))
        return item

    def file_path(self, request: Any, response: Response | None = None, *_: Any, **__: Any) -> str:
        """Return the name of a picture by its content; of one that did not come, by its address."""
        content = response.body if response is not None else request.url.encode()
        name = hashlib.sha256(content).hexdigest()[:40]
        return f"full/{name[:2]}/{name}.jpg"

    def thumb_path(
        self, request: Any, thumb_id: str, response: Response | None = None, *_: Any, **__: Any
    ) -> str:
        """Return the name of a picture's thumbnail."""
        return self.file_path(request, response).replace("full/", f"thumbs/{thumb_id}/", 1)

    def _key(self, url: str) -> str:
        return hashlib.sha256(f"{self._place} {url}".encode()).hexdigest()[:32]


def _addresses(item: Any) -> Iterator[str]:
    if isinstance(item, Product):
        yield from item.images
        yield from (sku["image"] for sku in item.skus if sku["image"])
