from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from ali1688_spider.local_servers import HOST, bundled_redis_program, redis_program, start_redis
from tests.ports import PORTS_OF_A_PROCESS, free_port

PRINT_PORTS = f"""
from tests.ports import free_port
print(*(free_port() for _ in range({PORTS_OF_A_PROCESS // 2})), flush=True)
input()
"""


def put_program(folder: Path, name: str, version: str) -> str:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found, but for the shell."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_machine_without_redis_uses_the_bundled_one(machine: Path, tmp_path: Path) -> None:
    assert list(machine.iterdir()) == []
    assert redis_program() == bundled_redis_program()
    server = start_redis(tmp_path / "redis")
    with redis.Redis.from_url(server.url) as client:
        assert client.info("server")["server_name"] == "valkey"
    server.stop()


@pytest.mark.parametrize(
    ("redis_server", "valkey_server", "used"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0", "", "redis-server"),
        ("Redis server v=6.2.0 sha=00000000:0", "", "redis-server"),
        ("Redis server v=6.0.16 sha=00000000:0", "Valkey server v=8.0.1", "valkey-server"),
        ("Redis server v=6.0.16 sha=00000000:0", "", None),
        ("something else", "", None),
        ("", "Valkey server v=7.2.4-rc1 sha=00000000", "valkey-server"),
    ],
)
def test_the_machines_own_redis_is_used_if_it_is_not_too_old(
    machine: Path, redis_server: str, valkey_server: str, used: str | None
) -> None:
    if redis_server:
        put_program(machine, "redis-server", redis_server)
    if valkey_server:
        put_program(machine, "valkey-server", valkey_server)
    assert redis_program() == (str(machine / used) if used else bundled_redis_program())


def test_a_program_that_cannot_run_is_no_redis(machine: Path) -> None:
    program = machine / "redis-server"
    program.write_bytes(b"\x7fELF for another machine")
    program.chmod(0o755)
    assert redis_program() == bundled_redis_program()


def test_processes_that_start_servers_never_get_the_same_port() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PRINT_PORTS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for _ in range(3)
    ]
    ports = [free_port() for _ in range(PORTS_OF_A_PROCESS // 2)]
    for process in processes:
        assert process.stdout is not None
        ports += map(int, process.stdout.readline().split())
    for process in processes:
        assert process.communicate("\n") == ("", "")
    assert len(set(ports)) == len(ports) == 2 * PORTS_OF_A_PROCESS
    # Linux gives those from 32,768 on to outgoing connections, others those from 49,152 on.
    assert max(ports) < 32_768


def test_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, free_port()))
        listener.listen()
        taken = listener.getsockname()[1]
        assert taken not in {free_port() for _ in range(PORTS_OF_A_PROCESS)}
