"""Images, built once, and what their containers reach."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from tests.deployment.images import ROOT, ImageStore, copy_checkout
from tests.harness import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.deployment.images import Container, Image


@pytest.fixture(scope="session")
def secret() -> str:
    """What nothing but the ``.env`` files of the checkout has in it."""
    return uuid.uuid4().hex


@pytest.fixture(scope="session")
def store() -> Iterator[ImageStore]:
    with ImageStore() as store:
        store.make_base(ROOT / "requirements" / "runtime.txt")
        yield store


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, secret: str) -> Path:
    """A checkout that somebody works in: with settings, which no image may take."""
    checkout = copy_checkout(tmp_path_factory.mktemp("build"))
    for folder in (checkout, checkout / "ali1688_spider", checkout / "requirements"):
        (folder / ".env").write_text(f"ALI1688_APP_SECRET={secret}\n")
    return checkout


@pytest.fixture(scope="session")
def worker_image(store: ImageStore, checkout: Path) -> Image:
    return store.build(checkout, "worker")


@pytest.fixture(scope="session")
def scrapyd_image(store: ImageStore, checkout: Path) -> Image:
    return store.build(checkout, "scrapyd")


@pytest.fixture
def worker(worker_image: Image) -> Iterator[Container]:
    with worker_image.container() as container:
        yield container


@pytest.fixture
def scrapyd(scrapyd_image: Image) -> Iterator[Container]:
    with scrapyd_image.container() as container:
        yield container


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def settings(cluster: Cluster, mongo_uri: str, mongo_database: str) -> dict[str, str]:
    """What reaches the sandbox and the database."""
    return {
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "ALI1688_GATEWAY": f"{cluster.gateway.url}/router/json",
        "ALI1688_QPS": "0",
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": mongo_database,
    }


@pytest.fixture
def stored(mongo_uri: str, mongo_database: str) -> Iterator[Any]:
    """The collection of products."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongo_uri)
    yield client[mongo_database].products
    client.close()
