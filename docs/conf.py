"""How Sphinx builds the documentation: ``make docs``."""

from __future__ import annotations

from ali1688_spider import __version__

project = "ali1688_spider"
version = release = __version__
language = "en"

extensions = ["myst_parser"]
exclude_patterns = ["generator"]
# Links to headings are checked as far as this level.
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"ali1688_spider {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
