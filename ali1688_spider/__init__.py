"""Collects product data from 1688 through the platform's signed API."""

import time

__version__ = "0.1.0"

STARTED = time.monotonic()
"""When this process began to use the package, for telling earlier crawls from the present one."""
