"""Downloader middlewares, from the engine (cache, errors) to the wire (throttle, signing)."""
