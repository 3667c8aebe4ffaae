"""compose.yaml: by the schema of its format, and by what no schema knows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.commands import KNOWN_NAMES, SECRETS, check_command
from tests.deployment.shutdown import longest_end

ROOT = Path(__file__).parents[2]
FILE = ROOT / "compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"worker", "watch", "dashboard", "report", "scrapyd"}
COMMANDS = sorted(OURS - {"scrapyd"})
PUBLISHED = {"scrapyd": ["127.0.0.1:6800:6800"], "dashboard": ["127.0.0.1:8088:8088"]}


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    """Check a file by the schema that check-jsonschema brings; nothing is downloaded."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*check, str(file)], capture_output=True, text=True, check=False)


def test_the_schema_of_compose_knows_every_field() -> None:
    checked = check_schema(FILE)
    assert checked.returncode == 0, checked.stdout


def test_the_schema_refuses_what_is_misspelt(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace_time"))
    checked = check_schema(wrong)
    assert checked.returncode == 1
    assert "stop_grace_time" in checked.stdout


def test_the_services_are_those_that_are_known() -> None:
    assert SERVICES.keys() == OURS | {"redis", "mongo"}
    targets = {SERVICES[name]["image"]: SERVICES[name]["build"]["target"] for name in OURS}
    assert targets == {"ali1688-worker": "worker", "ali1688-scrapyd": "scrapyd"}
    stages = re.findall(r"^FROM .* AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(targets.values()) <= set(stages)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_and_its_settings_are_the_projects_own(name: str) -> None:
    service = SERVICES[name]
    assert service["environment"].keys() <= KNOWN_NAMES
    options = check_command(service["command"], SECRETS | service["environment"])
    if name == "dashboard":
        assert service["ports"] == [f"127.0.0.1:{options['port']}:{options['port']}"]
        assert options["host"] == "0.0.0.0"
        assert name in options["name"]
        assert f":{options['port']}/healthz" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_has_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("ports") == PUBLISHED.get(name)
    if name in OURS:
        assert service["tmpfs"] == ["/tmp", "/home/crawler:uid=10001,gid=10001"]
        assert service["init"] is True  # as process 1 it would not hear an early SIGTERM
    else:
        assert service["user"] == name.replace("mongo", "mongodb")
        assert service["networks"] == ["inside"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_crawls_have_time_to_end(name: str) -> None:
    seconds = re.fullmatch(r"(\d+)s", SERVICES[name]["stop_grace_period"])
    assert seconds is not None
    assert int(seconds[1]) > longest_end()


def test_what_has_to_be_told_more_starts_when_it_is_asked_for() -> None:
    profiles = {name: each["profiles"] for name, each in SERVICES.items() if "profiles" in each}
    assert profiles == {name: [name] for name in ("watch", "dashboard", "report")}
    assert SERVICES["report"]["restart"] == "no"


def test_every_volume_is_declared_and_used() -> None:
    used = {
        volume.partition(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
    }
    assert used == COMPOSE["volumes"].keys()


def test_secrets_are_in_the_env_file_alone() -> None:
    assert {SERVICES[name]["env_file"] for name in OURS} == {".env"}
    for name in OURS:
        assert SERVICES[name]["environment"].keys() == {"REDIS_URL", "MONGO_URI"}
