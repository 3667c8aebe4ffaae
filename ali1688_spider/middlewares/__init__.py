"""Downloader middlewares, from the engine to the wire: cache, errors, quota, signing."""
