"""``scrapy auth`` behind a proxy."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from scrapy.cmdline import execute
from scrapy.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GATEWAY = "http://gateway.invalid/openapi"
TOKEN_API = f"{GATEWAY}/param2/1/system.oauth2/getToken/1000000"


class Proxy(BaseHTTPRequestHandler):
    """A proxy to a gateway that grants a token."""

    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(
            {"access_token": "granted", "refresh_token": "again", "expires_in": "36000"}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The addresses that the proxy of the environment was asked for."""
    addresses: list[str] = []
    handler = type("Handler", (Proxy,), {"asked": addresses})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
        yield addresses
        server.shutdown()
        thread.join()


@pytest.fixture
def auth(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    monkeypatch.setenv("SCRAPY_SETTINGS_MODULE", "ali1688_spider.settings")
    monkeypatch.chdir(tmp_path)
    given = {
        "ALI1688_APP_KEY": "1000000",
        "ALI1688_APP_SECRET": "test123",
        "ALI1688_PROTOCOL": "param2",
        "ALI1688_GATEWAY": GATEWAY,
        "REDIS_URL": "",
    }
    options = [part for name in given for part in ("-s", f"{name}={given[name]}")]

    def run(*code: str) -> int:
        settings = Settings({"COMMANDS_MODULE": "ali1688_spider.commands.auth"})
        arguments = ["--redirect-uri", "http://localhost/", *code]
        with pytest.raises(SystemExit) as stopped:
            execute(["scrapy", "auth", *options, *arguments], settings)
        assert isinstance(stopped.value.code, int)
        return stopped.value.code

    return run


def test_the_proxy_of_the_environment_is_used(
    auth: Callable[..., int], asked: list[str], tmp_path: Path
) -> None:
    assert auth("--code", "abc") == 0
    assert asked == [TOKEN_API]
    assert "granted" in (tmp_path / ".scrapy/ali1688/token.json").read_text()


def test_no_proxy_is_heeded(
    auth: Callable[..., int],
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("no_proxy", "gateway.invalid")
    assert auth("--code", "abc") == 1
    assert asked == []
    assert capsys.readouterr().err.startswith("Error: the gateway does not answer (")


def test_a_code_has_to_be_used_at_once(
    auth: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert auth() == 0
    said = capsys.readouterr().out
    assert "The code works once and for two minutes, so run at once:" in said
