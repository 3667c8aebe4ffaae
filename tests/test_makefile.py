"""``make demo`` on machines that lack something; a script stands for their Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]

# What it does depends on the files beside it; it notes what it was asked for.
PYTHON = """#!/bin/sh
echo "$*" >> "{folder}/asked"
case "$*" in
    "-c "*) test ! -e "{folder}/is-old" ;;
    "-m venv "*) mkdir -p .venv/bin && test ! -e "{folder}/has-no-venv" || exit 1
        cp "$0" .venv/bin/python && echo 'echo "scrapy $*"' > .venv/bin/scrapy
        chmod +x .venv/bin/scrapy ;;
    "-m pip install "*) test ! -e "{folder}/has-no-index" ;;
    *) exit 3 ;;
esac
"""


class Made(NamedTuple):
    """What ``make`` ended with."""

    exit_code: int
    stdout: str
    stderr: str


class Checkout:
    """A folder with the Makefile, and a machine that may lack something."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.machine = folder / "machine"
        self.python = self.machine / "python"
        self.folder.mkdir()
        self.machine.mkdir()
        shutil.copy(ROOT / "Makefile", self.folder)
        shutil.copytree(ROOT / "requirements", self.folder / "requirements")
        self.python.write_text(PYTHON.format(folder=self.machine))
        self.python.chmod(0o755)

    def lacks(self, name: str) -> None:
        (self.machine / name).touch()

    def make(self, target: str, python: Path | str | None = None) -> Made:
        process = subprocess.run(
            ["make", target, f"PYTHON={python or self.python}"],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.machine), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        return Made(process.returncode, process.stdout, process.stderr)

    @property
    def asked(self) -> list[str]:
        """What Python was asked for."""
        return (self.machine / "asked").read_text().splitlines()

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_environment_is_made_once(checkout: Checkout) -> None:
    first = checkout.make("demo")
    assert first == Made(0, "Installing requirements/demo.txt into .venv ...\nscrapy demo\n", "")
    asked = checkout.asked
    assert [line.split()[1] for line in asked[1:]] == ["venv", "pip"]
    assert asked[-1].endswith(" --require-hashes -r requirements/demo.txt")
    assert checkout.make("demo") == Made(0, "scrapy demo\n", "")
    assert checkout.asked == asked


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    checkout.make("demo")
    installed = (checkout.folder / ".venv" / "demo.installed").stat().st_mtime
    requirements = checkout.folder / "requirements" / "demo.txt"
    os.utime(requirements, (installed + 1, installed + 1))
    assert checkout.make("demo").stdout.startswith("Installing requirements/demo.txt")
    assert len(checkout.asked) == 4


def test_no_python(checkout: Checkout) -> None:
    made = checkout.make("demo", "python-that-is-not-there")
    assert made.exit_code == 2
    assert made.stderr.splitlines()[0] == (
        "python-that-is-not-there was not found: install Python 3.11 or newer, "
        "or say PYTHON=/path/to/python."
    )


def test_an_old_python(checkout: Checkout) -> None:
    checkout.lacks("is-old")
    made = checkout.make("demo")
    assert made.exit_code == 2
    assert made.stderr.splitlines()[0] == (
        f"{checkout.python} is too old: Python 3.11 or newer is needed; say PYTHON=/path/to/python."
    )
    assert checkout.files == {"Makefile", "requirements"}


def test_no_venv_module(checkout: Checkout) -> None:
    checkout.lacks("has-no-venv")
    made = checkout.make("test")
    assert made.exit_code == 2
    assert made.stderr.splitlines()[0] == (
        "Python's venv module does not work: install it (on Debian: apt install python3-venv)."
    )
    assert checkout.files == {"Makefile", "requirements"}


def test_no_package_index(checkout: Checkout) -> None:
    checkout.lacks("has-no-index")
    made = checkout.make("demo")
    assert made.exit_code == 2
    assert made.stderr.splitlines()[0] == (
        "Could not install the requirements: is a package index reachable (pip config list)?"
    )
    (checkout.machine / "has-no-index").unlink()
    assert checkout.make("demo").stdout.endswith("scrapy demo\n")
