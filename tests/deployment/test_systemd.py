"""The units of systemd: by its own tool, and by what it does not know."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.commands import check_command
from tests.deployment.shutdown import longest_end
from tests.deployment.units import FOLDER, PROGRAM, read_unit, unit_files, value_of

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="units are checked by systemd-analyze: apt install systemd"
)

CRAWLS = {"ali1688-worker@.service": "product", "ali1688-watch.service": "watch"}
OURS = {*CRAWLS, "ali1688-dashboard.service", "ali1688-report.service"}
MOST_EXPOSED = 15
"""In tenths, of what systemd-analyze counts from 0 to 10: the network alone is about 1."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE is not None
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, check=False)


def complaints(verified: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what is said of our units; the machine's own are looked at as well."""
    return [line for line in verified.stderr.splitlines() if "ali1688" in line]


@pytest.fixture
def installed(tmp_path: Path) -> list[str]:
    """The units, with a program that is there."""
    program = str(Path(sys.executable).with_name("scrapy"))
    for file in unit_files():
        (tmp_path / file.name).write_text(file.read_text().replace(PROGRAM, program))
    return [str(tmp_path / file.name) for file in unit_files()]


@needs_systemd
def test_systemd_understands_every_line(installed: list[str]) -> None:
    verified = analyze("verify", "--man=no", *installed)
    assert (verified.returncode, complaints(verified)) == (0, [])


@needs_systemd
def test_systemd_finds_what_is_misspelt(installed: list[str]) -> None:
    worker = next(Path(name) for name in installed if "worker" in name)
    worker.write_text(worker.read_text().replace("KillMode=mixed", "KilMode=mixed"))
    verified = analyze("verify", "--man=no", str(worker))
    assert [line for line in complaints(verified) if "'KilMode'" in line]


@needs_systemd
@pytest.mark.parametrize("name", sorted(OURS))
def test_services_are_exposed_to_the_network_alone(name: str, installed: list[str]) -> None:
    (file,) = (path for path in installed if path.endswith(name))
    judged = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED}", file)
    assert judged.returncode == 0, judged.stdout


def test_the_units_are_those_that_are_known() -> None:
    timers = {"ali1688-report.timer", "ali1688-new-day.timer"}
    assert {file.name for file in unit_files()} == OURS | timers | {"ali1688-new-day.service"}
    assert len(list(FOLDER.iterdir())) == len(unit_files())
    for timer in timers:
        calendar = value_of(read_unit(timer), "Timer", "OnCalendar")
        assert re.fullmatch(r"\*-\*-\* 00:[01]\d:00 Asia/Shanghai", calendar)  # the platform's days


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_command_is_the_projects_own(name: str) -> None:
    program, *words = shlex.split(value_of(read_unit(name), "Service", "ExecStart"))
    assert program == PROGRAM
    options = check_command(words)
    if name in CRAWLS:
        assert options["others"] == [CRAWLS[name]]


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_user_finds_its_settings(name: str) -> None:
    service = read_unit(name)["Service"]
    assert (service["User"], service["Group"]) == (["ali1688"], ["ali1688"])
    assert service["WorkingDirectory"] == ["/var/lib/ali1688"]
    assert service["StateDirectory"][0].split()[0] == "ali1688"  # made, if it is not there
    assert service["StateDirectoryMode"] == ["0700"]
    assert not {"Environment", "EnvironmentFile"} & service.keys()  # secrets are in .env


@pytest.mark.parametrize("name", sorted(CRAWLS))
def test_crawls_have_time_to_end(name: str) -> None:
    service = read_unit(name)
    seconds = value_of(service, "Service", "TimeoutStopSec").removesuffix("s")
    assert int(seconds) > longest_end()
    assert value_of(service, "Service", "KillMode") == "mixed"  # SIGTERM for one process, once
    assert "KillSignal" not in service["Service"]


@pytest.mark.parametrize("name", sorted(OURS - {"ali1688-report.service"}))
def test_what_fails_again_and_again_is_not_started_for_ever(name: str) -> None:
    unit = read_unit(name)
    assert value_of(unit, "Service", "Restart") == "on-failure"
    pause = int(value_of(unit, "Service", "RestartSec").removesuffix("s"))
    burst = int(value_of(unit, "Unit", "StartLimitBurst"))
    interval = int(value_of(unit, "Unit", "StartLimitIntervalSec").removesuffix("min")) * 60
    assert burst * (pause + 60) < interval  # with a minute to find out that it cannot go on
