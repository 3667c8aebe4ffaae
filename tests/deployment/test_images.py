"""The images themselves, built and run: ``make images``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.deployment.images import HOME, ROOT, BuildError, copy_checkout
from tests.harness import products
from tests.integration.scrapyd_server import Scrapyd, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deployment.images import Confined, Container, Image, ImageStore
    from tests.harness import Cluster

pytestmark = pytest.mark.images

USER = 10001
NOT_NEEDED = ("cc", "gcc", "g++", "clang", "make", "ld", "as", "git", "pip", "pip3", "uv")


@pytest.mark.parametrize("target", ["worker", "scrapyd"])
def test_a_user_without_rights_runs_the_image(target: str, request: pytest.FixtureRequest) -> None:
    image: Image = request.getfixturevalue(f"{target}_image")
    container: Container = request.getfixturevalue(target)
    assert image.config["User"] == f"{USER}:{USER}"
    seen = container.run("sh", "-c", "id -u; id -G; pwd; grep CapEff /proc/self/status").stdout
    assert seen.split() == [str(USER), str(USER), HOME, "CapEff:", "0" * 16]
    refused = container.run("touch", "/opt/venv/file", "/etc/file", "/file")
    assert refused.stderr.count("Permission denied") == 3


def test_what_the_images_start(worker_image: Image, scrapyd_image: Image) -> None:
    assert worker_image.entrypoint == ["scrapy"]
    assert worker_image.command == ["scrapy", "crawl", "product"]
    assert scrapyd_image.command == ["scrapyd"]
    assert list(scrapyd_image.config["ExposedPorts"]) == ["6800/tcp"]


@pytest.mark.parametrize("target", ["worker", "scrapyd"])
def test_the_image_holds_what_it_needs(target: str, request: pytest.FixtureRequest) -> None:
    container: Container = request.getfixturevalue(target)
    here = "import importlib.util as u; print(*[u.find_spec(n) is not None for n in {}])"
    names = [
        "scrapy_redis",
        "uvloop",
        "openpyxl",
        "PIL",
        "ali1688_spider",
        "tests",
        "pytest",
        "pip",
    ]
    found = container.run("python", "-c", here.format(names)).stdout.split()
    is_worker = target == "worker"
    assert found == ["True"] * 4 + [str(is_worker), "False", "False", "False"]
    which = f"for each in {' '.join(NOT_NEEDED)} env; do which $each; done"
    assert container.run("sh", "-c", which).stdout.split() == ["/usr/bin/env"]
    tops = {path.name for path in container.tree.iterdir()}
    assert "source" not in tops
    assert [path.name for path in (container.tree / "opt").iterdir()] == ["venv"]


def test_the_image_has_the_package_whole(worker: Container) -> None:
    package = ROOT / "ali1688_spider"
    (installed,) = worker.tree.glob("opt/venv/lib/python3*/site-packages/ali1688_spider")
    for folder, other in ((package, installed), (installed, package)):
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert (other / file.relative_to(folder)).is_file(), file


def test_no_secret_of_the_checkout_is_in_any_layer(
    store: ImageStore, checkout: Path, secret: str, worker_image: Image, scrapyd_image: Image
) -> None:
    def holding(folder: Path, text: str) -> list[str]:
        grep = ["grep", "--recursive", "--files-with-matches", "--fixed-strings", text, str(folder)]
        return subprocess.run(grep, capture_output=True, text=True, check=False).stdout.split()

    assert len(holding(checkout, secret)) == 3
    # Layers of the stages are kept too.
    assert holding(store.folder, "class Ali1688Addon") != []
    assert holding(store.folder, secret) == []
    for image in (worker_image, scrapyd_image):
        assert secret not in store.run("inspect", "--type", "image", image.name)
        names = {name for name in image.environment if re.match("ALI1688|REDIS|MONGO|PIP", name)}
        assert names == set()


def test_a_package_that_was_exchanged_is_not_installed(store: ImageStore, tmp_path: Path) -> None:
    other = copy_checkout(tmp_path)
    requirements = other / "requirements" / "runtime.txt"
    text = requirements.read_text()
    requirements.write_text(re.sub(r"sha256:\w+", f"sha256:{'0' * 64}", text))
    with pytest.raises(BuildError, match=r"(?s)STEP .*DO NOT MATCH THE HASHES"):
        store.build(other, "worker")


def test_a_crawl_collects_as_the_user_of_the_image(
    worker: Container, settings: dict[str, str], stored: Any
) -> None:
    ids = products(3)
    arguments = ["crawl", "product", "-a", f"ids={','.join(map(str, ids))}", "-O", "products.csv"]
    crawl = worker.run(*worker.image.entrypoint, *arguments, **settings)
    assert crawl.returncode == 0, crawl.stderr
    assert crawl.stderr.splitlines()[-1].startswith("3 wanted: 3 collected → products.csv, MongoDB")
    assert sorted(stored.distinct("_id")) == ids
    feed = worker.stat(f"{HOME}/products.csv")
    assert (feed.st_uid, feed.st_gid) == (USER, USER)


def test_wrong_credentials_are_an_exit_code(worker: Container, settings: dict[str, str]) -> None:
    settings |= {"ALI1688_APP_SECRET": "wrong"}
    crawl = worker.run(*worker.image.command, "-a", "ids=610000000001", **settings)
    assert crawl.returncode == 1
    assert "bad_credentials" in crawl.stderr


@pytest.fixture
def confined(
    worker: Container, cluster: Cluster, settings: dict[str, str], tmp_path: Path
) -> Iterator[Confined]:
    """A worker with one call a second, confined as the manifests have it."""
    settings |= {"REDIS_URL": cluster.redis_url, "ALI1688_QPS": "1"}
    command = worker.image.command
    confined = worker.start(tmp_path / "worker.log", *command, **settings)
    yield confined
    confined.kill()


def test_a_confined_worker_returns_its_leases_when_it_is_stopped(
    confined: Confined, cluster: Cluster, stored: Any
) -> None:
    cluster.produce(products(50))
    eventually(lambda: stored.count_documents({}) >= 2, lambda: confined.log)
    status = confined.status
    assert status["Uid"] == status["Gid"] == [str(USER)] * 4
    assert status["NSpid"][-1] == "1"  # of its own tree: signals it does not handle are lost
    assert status["NoNewPrivs"] == ["1"]
    assert {status[name][0] for name in ("CapPrm", "CapEff", "CapBnd")} == {"0" * 16}
    assert cluster.counts.leased > 0
    confined.send(signal.SIGTERM)
    assert confined.wait() == 0, confined.log
    assert "Closing spider (shutdown)" in confined.log
    assert " ERROR" not in confined.log
    counts = cluster.counts
    assert counts.leased == 0
    assert counts.calls + stored.count_documents({}) == 50


def test_a_confined_worker_cannot_write_elsewhere(worker: Container, tmp_path: Path) -> None:
    script = "touch /tmp/file ~/file && touch /opt/venv/file /etc/file /var/tmp/file /file"
    shell = worker.start(tmp_path / "log", "sh", "-c", script)
    assert shell.wait() == 1
    assert shell.log.count("Read-only file system") == 4, shell.log
    assert len(shell.log.splitlines()) == 4


def test_scrapyd_runs_a_job_of_an_egg(
    scrapyd: Container, cluster: Cluster, settings: dict[str, str], stored: Any, tmp_path: Path
) -> None:
    health = scrapyd.image.config["Healthcheck"]["Test"]
    assert health[0] == "CMD"
    assert scrapyd.run(*health[1:]).returncode == 1, "something listens on port 6800 already"
    command, volume = scrapyd.image.command, "/var/lib/scrapyd"
    settings |= {"REDIS_URL": cluster.redis_url}
    running = scrapyd.start(tmp_path / "scrapyd.log", *command, volume=volume, **settings)
    try:
        eventually(lambda: not scrapyd.run(*health[1:]).returncode, lambda: running.log)
        assert running.status["Uid"] == [str(USER)] * 4
        deploy = subprocess.run(
            [Path(sys.executable).with_name("scrapyd-deploy")],
            cwd=copy_checkout(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert deploy.returncode == 0, deploy.stderr
        assert json.loads(deploy.stdout)["spiders"] == 3
        server = Scrapyd(running.outer, "http://localhost:6800/", tmp_path, {})
        job = server.schedule("product", ids="610000000001")
        eventually(lambda: job.state == "finished", lambda: running.log)
        assert stored.distinct("_id") == [610000000001]
        assert cluster.counts.calls == 0
        running.send(signal.SIGTERM)
        assert running.wait() == 0, running.log
    finally:
        running.kill()
