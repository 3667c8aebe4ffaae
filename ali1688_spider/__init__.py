"""Collects product data from 1688 through the platform's signed API."""

__version__ = "0.1.0"
