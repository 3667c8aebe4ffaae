"""Pictures are fetched from the platform's picture hosts alone, and each is stored once."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from ali1688_spider.local_servers import HOST

if TYPE_CHECKING:
    from tests.harness import Gateway, Scrapy

FIRST, SECOND = 610_000_000_001, 610_000_000_002
PICTURES = "http://cbu01.alicdn.com"


class PictureHost(ThreadingHTTPServer):
    """Every host of the internet, as an HTTP proxy that the crawl is told to use."""

    daemon_threads = True

    def __init__(self) -> None:
        self.requested: dict[str, dict[str, str]] = {}
        super().__init__((HOST, 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: PictureHost

    def do_GET(self) -> None:
        self.server.requested[self.path] = {
            name.lower(): text for name, text in self.headers.items()
        }
        name = self.path.rpartition("/")[2]
        if name == "missing.jpg":
            self._respond(404)
        elif name == "moved.jpg":
            self._respond(302, location="http://127.0.0.1/secret")
        else:
            colour = {"r": "red", "g": "green", "b": "blue"}[name[0]]
            picture = io.BytesIO()
            Image.new("RGB", (400, 300), colour).save(picture, "JPEG")
            self._respond(200, picture.getvalue(), content_type="image/jpeg")

    def _respond(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def pictures() -> Iterator[PictureHost]:
    with PictureHost() as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        yield host
        host.shutdown()
        thread.join()


def with_images(gateway: Gateway, product_id: int, *urls: str) -> None:
    product = {"productName": "杯", "price": 1, "quantity": 2, "image": {"images": list(urls)}}
    gateway.product(product_id, answer={"result": {"product": product}})


def test_pictures_are_stored_once_and_fetched_once(
    scrapy: Scrapy, gateway: Gateway, pictures: PictureHost
) -> None:
    scrapy.settings |= {"http_proxy": pictures.url, "no_proxy": HOST}
    with_images(gateway, FIRST, f"{PICTURES}/red.jpg", f"{PICTURES}/green.jpg")
    with_images(gateway, SECOND, "http://gd1.alicdn.com/r-again.jpg", f"{PICTURES}/missing.jpg")
    arguments = ("-a", f"ids={FIRST},{SECOND}", "-a", "images=1", "-O", "out.jsonl")
    crawl = scrapy.crawl("product", *arguments)
    assert (crawl.stats["ali1688/images/stored"], crawl.stats["ali1688/images/missing"]) == (3, 1)
    records = crawl.read("out.jsonl")
    files = records[FIRST]["image_files"] | records[SECOND]["image_files"]
    assert len(files) == 3
    assert files[f"{PICTURES}/red.jpg"] == files["http://gd1.alicdn.com/r-again.jpg"]
    stored = set((scrapy.folder / "images").rglob("*.jpg"))
    assert {path for path in stored if "small" not in path.parts} == {
        scrapy.folder / "images" / path for path in files.values()
    }
    assert len(stored) == 4  # two pictures, each with its thumbnail
    for headers in pictures.requested.values():
        assert "referer" not in headers
        assert "1000000" not in str(headers)
    pictures.requested.clear()
    assert scrapy.crawl("product", *arguments).read("out.jsonl")[FIRST]["image_files"]
    assert list(pictures.requested) == [f"{PICTURES}/missing.jpg"]


def test_other_hosts_are_not_asked(scrapy: Scrapy, gateway: Gateway, pictures: PictureHost) -> None:
    scrapy.settings |= {"http_proxy": pictures.url, "no_proxy": HOST}
    elsewhere = [
        "http://alicdn.com.example/red.jpg",
        "http://notalicdn.com/red.jpg",
        "http://cbu01.alicdn.com:8080/red.jpg",
        f"{gateway.url}/red.jpg",
    ]
    with_images(gateway, FIRST, *elsewhere, f"{PICTURES}/moved.jpg")
    crawl = scrapy.crawl("product", "-a", f"ids={FIRST}", "-a", "images=1", "-O", "out.jsonl")
    assert crawl.stats["ali1688/images/missing"] == 5
    assert crawl.read("out.jsonl")[FIRST]["image_files"] == {}
    assert list(pictures.requested) == [f"{PICTURES}/moved.jpg"]


def test_pictures_are_left_alone_unless_asked_for(
    scrapy: Scrapy, gateway: Gateway, pictures: PictureHost
) -> None:
    scrapy.settings |= {"http_proxy": pictures.url, "no_proxy": HOST}
    with_images(gateway, FIRST, f"{PICTURES}/red.jpg")
    crawl = scrapy.crawl("product", "-a", f"ids={FIRST}", "-O", "out.jsonl")
    assert "image_files" not in crawl.read("out.jsonl")[FIRST]
    assert not pictures.requested
