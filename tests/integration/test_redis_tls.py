"""Redis with TLS, and certificates as ``docs/how-to/redis.md`` makes them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from ali1688_spider.exceptions import ConfigurationError
from ali1688_spider.local_servers import HOST, ServerProgram
from tests.harness import FIRST_PRODUCT, ROOT, eventually
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.harness import Gateway, Scrapy

PAGE = ROOT / "docs" / "how-to" / "redis.md"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the commands of the page have made certificates."""
    (commands,) = re.findall(
        r"^```bash\n(openssl req .+?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    folder = tmp_path_factory.mktemp("certificates")
    if shutil.which("openssl") is None:
        pytest.skip("no openssl is on the PATH")
    made = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=folder, capture_output=True, text=True, check=False
    )
    if "copy_extensions" in made.stderr:
        pytest.skip("this openssl is older than 3.0")
    assert made.returncode == 0, made.stderr
    return folder


def options(folder: Path, *, client: bool) -> str:
    """Return what the page has after the question mark, with the files of *folder*."""
    urls = re.findall(r"^REDIS_URL=rediss://\S+\?(\S+)$", PAGE.read_text(), re.MULTILINE)
    found: str = next(each for each in urls if ("ssl_certfile" in each) is client)
    return found.replace("/etc/ali1688", str(folder))


def servers() -> Iterator[str]:
    """Yield the programs of Redis on the PATH."""
    for folder in os.environ["PATH"].split(os.pathsep):
        for name in ("redis-server", "valkey-server"):
            if os.access(program := Path(folder, name), os.X_OK):
                yield str(program)


@pytest.fixture(scope="session")
def redis_with_tls(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that speaks TLS alone, and wants certificates of its clients."""
    port = free_port()
    url = f"rediss://{HOST}:{port}/0"

    def ping() -> None:
        with redis.Redis.from_url(f"{url}?{options(certificates, client=True)}") as client:
            client.ping()

    files = {"ca-cert": "ca.pem", "cert": "server.pem", "key": "server.key"}
    tls = [part for n, f in files.items() for part in (f"--tls-{n}-file", str(certificates / f))]
    for program in servers():
        folder = tmp_path_factory.mktemp("redis")
        command = [program, "--port", "0", "--tls-port", str(port), "--dir", str(folder), *tls]
        try:
            server = ServerProgram("Redis", command, url, ping).start(folder)
        except ConfigurationError:
            continue  # built without TLS
        yield url
        server.stop()
        return
    pytest.skip("no Redis on the PATH speaks TLS: apt-get install redis-server brings one")


@pytest.fixture
def scrapy_over(scrapy: Scrapy, redis_with_tls: str, certificates: Path) -> Callable[..., Scrapy]:
    def over(*, client: bool) -> Scrapy:
        scrapy.settings["REDIS_URL"] = f"{redis_with_tls}?{options(certificates, client=client)}"
        return scrapy

    return over


def test_an_idle_worker_hears_of_pushed_ids(
    scrapy_over: Callable[..., Scrapy], gateway: Gateway
) -> None:
    scrapy = scrapy_over(client=True)
    worker = scrapy.start("crawl", "product")
    eventually(lambda: worker.has_opened)
    scrapy.run("push", "product", str(FIRST_PRODUCT)).ended_well()
    eventually(lambda: gateway.by_product == {FIRST_PRODUCT: 1})
    assert worker.stop() == 0
    worker.ended_well()
    assert "Redis does not tell of changes" not in worker.log


def test_a_client_without_a_certificate_is_refused(scrapy_over: Callable[..., Scrapy]) -> None:
    doctor = scrapy_over(client=False).run("doctor")
    assert doctor.exit_code == 1
    assert "FAIL  Redis: " in doctor.stdout


def test_a_server_whose_authority_is_unknown_is_refused(
    scrapy: Scrapy, redis_with_tls: str
) -> None:
    doctor = scrapy.run("doctor", REDIS_URL=redis_with_tls)
    assert doctor.exit_code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in doctor.stdout
