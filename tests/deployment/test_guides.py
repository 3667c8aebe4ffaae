"""The how-to guides of deployment: their commands, files and names are those that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from tests.deployment.commands import check_command
from tests.deployment.manifests import manifests
from tests.deployment.units import FOLDER

ROOT = Path(__file__).parents[2]
GUIDES = {
    name: ROOT / "docs" / "how-to" / f"{name}.md" for name in ("docker", "kubernetes", "systemd")
}
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

CODE = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
CLI = re.compile(r"(?:\bscrapy|/scrapy|compose run --rm(?: -T)? worker) ([a-z][^|<>#\n]*)")
LINK = re.compile(r"\]\(([^)#]+)\)")

every_guide = pytest.mark.parametrize("guide", GUIDES)


def code_of(guide: str) -> str:
    return "\n".join(CODE.findall(GUIDES[guide].read_text()))


@every_guide
def test_the_commands_are_the_projects_own(guide: str) -> None:
    commands = CLI.findall(code_of(guide))
    assert len(commands) >= 4
    for words in commands:
        check_command(shlex.split(words))


@every_guide
def test_the_files_are_there(guide: str) -> None:
    text = GUIDES[guide].read_text()
    for link in LINK.findall(text):
        assert (GUIDES[guide].parent / link).exists(), link
    for name in re.findall(r"\b(?:deploy|requirements)/[\w./-]*\w", text):
        assert (ROOT / name).exists(), name


def test_the_services_of_compose_are_there() -> None:
    code = GUIDES["docker"].read_text()
    for service in re.findall(r"compose run --rm(?: -T)?(?: --entrypoint \w+)? (\w+)", code):
        assert service in SERVICES
    assert set(re.findall(r"--profile (\w+)", code)) == {"watch", "dashboard"}


def test_the_objects_of_kubernetes_are_there() -> None:
    code = code_of("kubernetes")
    objects = {f"{each['kind']}/{each['metadata']['name']}".lower() for each in manifests()}
    named = set(re.findall(r"\b(?:deployment|service|cronjob)/[\w-]+", code))
    assert len(named) == 4
    assert named <= objects


def test_the_units_of_systemd_are_there() -> None:
    units = {re.sub("@?.service$", "", file.name) for file in FOLDER.iterdir()}
    named = set(re.findall(r"\bali1688-[\w-]+(?:\.timer)?", GUIDES["systemd"].read_text()))
    assert named == units - {"ali1688-report", "ali1688-new-day"}
