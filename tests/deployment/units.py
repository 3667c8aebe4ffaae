"""The units of ``deploy/systemd``."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
PROGRAM = "/opt/ali1688/bin/scrapy"

Unit = dict[str, dict[str, list[str]]]


def unit_files() -> list[Path]:
    """Return the files of all units."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix in {".service", ".timer"})


def read_unit(name: str) -> Unit:
    """Return the values of a unit, all of each name, by section."""
    sections: Unit = {}
    for line in (FOLDER / name).read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return sections


def value_of(unit: Unit, section: str, key: str) -> str:
    """Return the only value of a key."""
    (value,) = unit[section][key]
    return value
