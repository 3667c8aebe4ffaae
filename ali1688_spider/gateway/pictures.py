"""Reads a picture, and makes it small enough for the platform's search by image."""

from __future__ import annotations

import asyncio
import base64
import io
from importlib import import_module
from pathlib import Path

import aiohttp

from ali1688_spider.exceptions import ConfigurationError

UPLOAD_API = "com.alibaba.fenxiao.crossborder:product.image.upload-1"
MOST_CHARACTERS = 100_000
"""Of base64 text; the platform answers the id "0" to longer ones."""

MOST_BYTES = 16 * 1024 * 1024
TIMEOUT_SECONDS = 30.0
"""Of a picture at an address."""

_SIDES = (1000, 800, 600, 400, 200)  # pixels
_QUALITY = 80
_FORMATS = {"JPEG", "PNG"}


def require_pillow(purpose: str) -> None:
    """Raise ConfigurationError when Pillow, which *purpose* needs, is not installed."""
    try:
        import_module("PIL")
    except ImportError:
        raise ConfigurationError(
            f"for {purpose} the package Pillow is missing: "
            "in a checkout run .venv/bin/pip install pillow"
        ) from None


async def read_picture(image: str) -> bytes:
    """Return the content of a file or of an address; OSError or aiohttp.ClientError without it.

    ValueError is raised for an address with more than :data:`MOST_BYTES`.
    """
    if "://" not in image:
        return await asyncio.to_thread(Path(image).read_bytes)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    content = bytearray()
    async with (
        aiohttp.ClientSession(timeout=timeout, trust_env=True, raise_for_status=True) as session,
        session.get(image) as response,
    ):
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > MOST_BYTES:
                raise ValueError(f"it is larger than {MOST_BYTES // 1024**2} MiB")
    return bytes(content)


def encode_picture(content: bytes) -> str:
    """Return a picture as base64 text that the platform takes; large ones are made smaller.

    Raises:
        ValueError: It is no picture, or one that cannot be read.
        ConfigurationError: Pillow is not installed.
    """
    require_pillow("searches by image")
    from PIL import Image, ImageOps  # noqa: PLC0415  # optional

    try:
        with Image.open(io.BytesIO(content)) as picture:
            text = base64.b64encode(content).decode()
            if picture.format in _FORMATS and len(text) <= MOST_CHARACTERS:
                picture.verify()
                return text
            flat = ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("it is no picture that can be read: give a JPEG, PNG or WebP") from error
    for side in _SIDES:
        flat.thumbnail((side, side))
        small = io.BytesIO()
        flat.save(small, "JPEG", quality=_QUALITY)
        text = base64.b64encode(small.getvalue()).decode()
        if len(text) <= MOST_CHARACTERS:
            break
    return text
