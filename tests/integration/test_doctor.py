"""``scrapy doctor`` tells apart what is wrong, and says what to do about each."""

from __future__ import annotations

import gc
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from ali1688_spider.delivery.webhook import signature
from tests.harness import FIRST_PRODUCT, eventually
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message
    from pathlib import Path

    from tests.harness import Administration, Gateway, Scrapy

    SettingsFor = Callable[[str], dict[str, str]]
    Doctor = Callable[..., tuple[int, dict[str, str]]]

PRODUCT_API = "com.alibaba.fenxiao.crossborder:product.search.queryProductDetail-1"
SECRETS = {
    "ALI1688_APP_SECRET": "test123",
    "ALI1688_ACCESS_TOKEN": "access-token-one",
    "ALI1688_REFRESH_TOKEN": "refresh-token-one",
}


@pytest.fixture
def doctor(
    gateway: Gateway,
    settings_for: SettingsFor,
    administration: Administration,
    monkeypatch: pytest.MonkeyPatch,
) -> Doctor:
    """Return what asks the doctor: exit code, and what it says by subject; no secret in it."""
    gateway.set(access_token="access-token-one", refresh_token="refresh-token-one")
    monkeypatch.setattr("ali1688_spider.storage.database.SELECTION_SECONDS", 0.2)

    def ask(protocol: str = "param2", **changes: str) -> tuple[int, dict[str, str]]:
        settings = SECRETS | settings_for(protocol) | changes
        diagnosis = administration.run("doctor", **settings)
        for secret in filter(None, (settings[name] for name in SECRETS)):
            assert secret not in diagnosis.stdout + diagnosis.log
        said = {}
        for line in diagnosis.stdout.splitlines():
            status, _, text = line.partition("  ")
            subject, _, rest = text.strip().partition(": ")
            said[subject] = f"{status}: {rest}"
        if diagnosis.log:
            said["Error"] = diagnosis.log
        return diagnosis.exit_code, said

    return ask


@pytest.mark.parametrize("protocol", ["router", "top", "param2"])
def test_all_is_well(
    protocol: str, doctor: Doctor, gateway: Gateway, redis_url: str, mongo_uri: str
) -> None:
    exit_code, said = doctor(protocol, REDIS_URL=redis_url, MONGO_URI=mongo_uri)
    assert exit_code == 0
    assert {text.partition(":")[0] for text in said.values()} == {"ok"}
    apis = [subject for subject in said if subject.startswith("API ")]
    assert len(apis) == 2
    assert all(said[subject] == "ok: may be used" for subject in apis)
    assert {"Settings", "Gateway", "Clock", "Signature", "Access token", "Redis", "Quota"} < set(
        said
    )
    assert said["Quota"] == "ok: 100,000 of 100,000 calls are left today (GMT+8)"
    assert gateway.status()["by_product"] == {}


def test_a_wrong_secret(doctor: Doctor) -> None:
    exit_code, said = doctor(ALI1688_APP_SECRET="another-secret")
    assert exit_code == 1
    assert said["Signature"].startswith("FAIL: is refused (gw.SignatureInvalid")
    assert "Check that ALI1688_APP_SECRET belongs to ALI1688_APP_KEY" in said["Signature"]
    assert "Access token" not in said


def test_a_wrong_app_key(doctor: Doctor) -> None:
    exit_code, said = doctor("router", ALI1688_APP_KEY="1000009")
    assert exit_code == 1
    assert said["Signature"].startswith("FAIL: is refused (29")
    assert "Check ALI1688_APP_KEY" in said["Signature"]


def test_an_expired_token(doctor: Doctor, gateway: Gateway) -> None:
    gateway.set(expire_token=True)
    exit_code, said = doctor()
    assert exit_code == 0
    assert said["Access token"].startswith("WARN: is expired or invalid (401")
    assert said["Access token"].endswith("The next crawl refreshes it with ALI1688_REFRESH_TOKEN.")
    exit_code, said = doctor(ALI1688_REFRESH_TOKEN="")
    assert exit_code == 1
    assert said["Access token"].startswith("FAIL: is expired or invalid (401")
    assert "Authorise the app with `scrapy auth`" in said["Access token"]
    exit_code, said = doctor(ALI1688_ACCESS_TOKEN="", ALI1688_REFRESH_TOKEN="")
    assert exit_code == 1
    assert said["Access token"].startswith("FAIL: is missing (401")


@pytest.mark.parametrize(
    ("protocol", "api"), [("param2", PRODUCT_API), ("router", "alibaba.product.get")]
)
def test_an_api_that_is_not_ordered(
    protocol: str, api: str, doctor: Doctor, gateway: Gateway
) -> None:
    gateway.set(deny=[api])
    exit_code, said = doctor(protocol)
    assert exit_code == 1
    assert said[f"API {api}"].startswith("FAIL: may not be used (")
    assert "Order the API for the app of ALI1688_APP_KEY" in said[f"API {api}"]
    assert said["Signature"].startswith("ok")
    assert [text for text in said.values() if text.startswith("FAIL")] == [said[f"API {api}"]]


def test_a_wrong_name_of_an_api(doctor: Doctor) -> None:
    exit_code, said = doctor(ALI1688_PRODUCT_API="alibaba.product.got")
    assert exit_code == 1
    assert list(said) == ["Error"]
    assert said["Error"].startswith(
        "Error: ALI1688_PRODUCT_API is 'alibaba.product.got': set it to one of "
    )


def test_a_clock_that_is_off(doctor: Doctor, gateway: Gateway) -> None:
    gateway.set(clock_skew=7200)
    for protocol in ("param2", "router"):
        exit_code, said = doctor(protocol, ALI1688_ACCESS_TOKEN="", ALI1688_REFRESH_TOKEN="")
        assert said["Clock"].startswith("WARN: is 7")
        assert "set this machine's clock (NTP)" in said["Clock"]
        assert said["Signature"] == "ok: app key and secret are accepted"
        assert exit_code == 1  # for the token


# pymongo 4.20 leaves a socket unclosed when it is closed while it connects.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket")
def test_redis_and_mongodb_are_down(doctor: Doctor) -> None:
    port = free_port()
    exit_code, said = doctor(
        REDIS_URL=f"redis://:redis-password@127.0.0.1:{port}/0",
        MONGO_URI=f"mongodb://user:mongo-password@127.0.0.1:{port}/",
    )
    assert exit_code == 1
    assert said["Redis"].startswith(f"FAIL: redis://:***@127.0.0.1:{port}/0 does not answer (")
    assert "start it, or correct REDIS_URL" in said["Redis"]
    assert said["MongoDB"].startswith(f"FAIL: MongoDB does not answer (127.0.0.1:{port}")
    assert said["MongoDB"].endswith("start it, or correct MONGO_URI")
    assert "password" not in said["Redis"] + said["MongoDB"]
    assert said["Signature"].startswith("ok")
    gc.collect()


def test_the_day_s_quota_is_used_up(doctor: Doctor, scrapy: Scrapy, redis_url: str) -> None:
    limits = {"REDIS_URL": redis_url, "ALI1688_DAILY_QUOTA": "2"}
    token = {"ALI1688_ACCESS_TOKEN": "access-token-one"}
    crawl = scrapy.run("crawl", "product", "-a", "ids=1,2,3", **limits, **token)
    assert crawl.stats["finish_reason"] == "quota_exhausted"
    exit_code, said = doctor("router", **limits)
    assert exit_code == 1
    assert said["Quota"] == (
        "FAIL: 0 of 2 calls are left today (GMT+8): wait for tomorrow, or raise ALI1688_DAILY_QUOTA"
    )


def test_a_lowered_quota_leaves_no_call(doctor: Doctor, scrapy: Scrapy, redis_url: str) -> None:
    token = {"ALI1688_ACCESS_TOKEN": "access-token-one"}
    scrapy.crawl(
        "product", "-a", f"ids={FIRST_PRODUCT},{FIRST_PRODUCT + 1}", REDIS_URL=redis_url, **token
    )
    exit_code, said = doctor("router", REDIS_URL=redis_url, ALI1688_DAILY_QUOTA="1")
    assert exit_code == 1
    assert said["Quota"].startswith("FAIL: 0 of 1 calls are left today (GMT+8): wait for tomorrow")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Receiver(ThreadingHTTPServer):
    """Answers with a status, and keeps what came."""

    daemon_threads = True
    status = 200

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.posts: list[tuple[Message, bytes]] = []

    @property
    def settings(self) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server_port}/hook-of-mine"
        return {"ALI1688_WEBHOOK_URL": url, "ALI1688_WEBHOOK_SECRET": "webhook-secret"}


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.headers, body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.mark.parametrize(
    ("status", "is_taken"), [(200, True), (204, True), (302, False), (500, False)]
)
def test_the_webhook_gets_a_test_message(
    status: int, *, is_taken: bool, doctor: Doctor, receiver: Receiver
) -> None:
    receiver.status = status
    exit_code, said = doctor(**receiver.settings)
    ((headers, body),) = receiver.posts
    message = json.loads(body)
    assert message == {"test": True, "message": message["message"], "changes": []}
    assert message["message"].startswith("scrapy doctor tests this webhook")
    timestamp = headers["X-Ali1688-Timestamp"]
    assert headers["X-Ali1688-Signature"] == signature("webhook-secret", timestamp, body)
    if is_taken:
        assert (exit_code, said["Webhook"]) == (0, "ok: takes a signed test message")
    else:
        assert exit_code == 1
        assert said["Webhook"].startswith(
            f"FAIL: a signed test message is not taken, it answers {status}: correct ALI1688_WEB"
        )
        assert "hook-of-mine" not in said["Webhook"]


def test_a_webhook_that_is_away(doctor: Doctor, receiver: Receiver) -> None:
    assert "Webhook" not in doctor()[1]
    url = f"http://127.0.0.1:{free_port()}/"
    exit_code, said = doctor(**receiver.settings | {"ALI1688_WEBHOOK_URL": url})
    assert exit_code == 1
    assert "not taken, it does not answer (ClientConnectorError): " in said["Webhook"]


def test_no_gateway(doctor: Doctor) -> None:
    address = f"http://127.0.0.1:{free_port()}/openapi"
    exit_code, said = doctor(ALI1688_GATEWAY=address)
    assert exit_code == 1
    assert said["Gateway"].startswith(f"FAIL: {address}: ")
    assert "Check that ALI1688_GATEWAY names the right host and port" in said["Gateway"]
    assert "Signature" not in said


def test_an_env_file_that_others_can_read(doctor: Doctor, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("ALI1688_APP_SECRET=test123\n")
    file.chmod(0o640)
    assert doctor()[1][".env"] == f"WARN: others can read your secrets: run chmod 600 {file}"
    file.chmod(0o600)
    assert doctor()[1][".env"] == f"ok: {file} is yours alone"


def test_a_kept_token_is_the_one_that_is_looked_at(
    doctor: Doctor, gateway: Gateway, scrapy: Scrapy, settings_for: SettingsFor
) -> None:
    gateway.set(expire_token=True)
    scrapy.crawl("product", "-a", "ids=610000000001", **settings_for("param2"), **SECRETS)
    assert doctor()[1]["Access token"] == "ok: is accepted"


def test_as_a_command(scrapy: Scrapy, gateway: Gateway) -> None:
    ill = scrapy.run("doctor", ALI1688_APP_SECRET="another-secret")
    assert (ill.exit_code, ill.log) == (1, "")
    assert gateway.status()["refused_signatures"] == 1


def test_a_variable_of_another_program_is_a_hint(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGO_URL", "mongodb://localhost/")
    exit_code, said = doctor()
    assert exit_code == 0
    assert said["Variables"].startswith("WARN: MONGO_URL is set, but MONGO_URI is not")


QUERY = "cn.alibaba.open:push.query.messageList-1"


@pytest.mark.parametrize("in_redis", [False, True])
def test_whether_messages_arrive(
    *, in_redis: bool, doctor: Doctor, gateway: Gateway, scrapy: Scrapy, redis_url: str
) -> None:
    if in_redis:
        scrapy.settings["REDIS_URL"] = redis_url
    assert "Messages" not in doctor("router")[1]
    assert doctor()[1]["Messages"].startswith("ok: 0 wait undelivered; none was kept: have scrapy")
    assert doctor(ALI1688_MESSAGES="poll")[1]["Messages"].startswith(
        "ok: 0 wait undelivered; none was kept yet: choose the products' topics"
    )
    gateway.message("PRODUCT_RELATION_VIEW_PRODUCT_EXPIRE", {"productIds": str(FIRST_PRODUCT)})
    exit_code, said = doctor()
    assert exit_code == 0
    assert said["Messages"].startswith("WARN: 1 wait undelivered; none was kept: have scrapy")
    assert "(ALI1688_MESSAGES=poll), or run scrapy receive" in said["Messages"]
    assert len(gateway.undelivered) == 1  # asking took nothing away
    settings = {"ALI1688_MESSAGES": "poll", "ALI1688_PROTOCOL": "param2"}
    gateway_url = {"ALI1688_GATEWAY": f"{gateway.url}/openapi"}
    ids = f"ids={FIRST_PRODUCT}"
    watch = scrapy.start("crawl", "watch", "-a", ids, **SECRETS, **settings, **gateway_url)
    eventually(lambda: not gateway.undelivered)
    assert watch.stop() == 0
    said = doctor()[1]
    text = said["Messages"]
    assert text.startswith("ok: 0 wait undelivered; the last one was kept ")
    assert text.endswith(" s ago, by poll")


def test_messages_that_the_app_may_not_ask_for(doctor: Doctor, gateway: Gateway) -> None:
    gateway.set(deny=[QUERY])
    exit_code, said = doctor()
    assert exit_code == 0
    assert said["Messages"].startswith("ok: cannot be asked for (gw.APIACLDecline: ")
    exit_code, said = doctor(ALI1688_MESSAGES="poll")
    assert exit_code == 1
    assert said["Messages"].startswith("FAIL: cannot be asked for (gw.APIACLDecline: ")
    assert said["Messages"].endswith(", or set ALI1688_MESSAGES=off")
    gateway.set(deny=[])
    gateway.fail(api=QUERY, faults=["rate-limit"])
    assert doctor()[1]["Messages"].startswith("WARN: cannot be asked for now (gw.Qos")
    assert "Messages" not in doctor(ALI1688_APP_SECRET="another-secret")[1]
