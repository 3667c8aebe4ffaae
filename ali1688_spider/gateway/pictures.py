"""Makes a picture small enough for the platform's search by image."""

from __future__ import annotations

import base64
import io
from importlib import import_module

from ali1688_spider.exceptions import ConfigurationError

UPLOAD_API = "com.alibaba.fenxiao.crossborder:product.image.upload-1"
MOST_CHARACTERS = 100_000
"""Of base64 text; the platform answers the id "0" to longer ones."""

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
