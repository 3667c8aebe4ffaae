"""The file ``.env``, which holds the user's secrets."""

from __future__ import annotations

import stat
from pathlib import Path

from dotenv import find_dotenv


def env_file() -> Path | None:
    """Return the ``.env`` in use: in the current folder or above it; None without any."""
    name = find_dotenv(usecwd=True)
    return Path(name) if name else None


def is_open_to_others(path: Path) -> bool:
    """Tell whether others than its owner may read or write the file."""
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
