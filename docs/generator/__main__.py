"""Writes the pages: ``python -m docs.generator``."""

from __future__ import annotations

from docs.generator.pages import FOLDER, PAGES

for name, page in PAGES.items():
    (FOLDER / f"{name}.md").write_text(page(), encoding="utf-8")
