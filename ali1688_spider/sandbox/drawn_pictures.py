"""Pictures: a small PNG for each product, and what an uploaded one is taken for.

The platform's picture search answers an upload with an ``imageId``, "0" for what it cannot take:
no bare base64, no image, or too large. A product's own picture, byte for byte as the sandbox serves
it at ``/_sandbox/images/{product_id}.png``, is recognised as such; any other one as a picture of
some category, always of the same one.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import zlib

REFUSED = "0"

_MAX_BASE64 = 100 * 1024  # characters
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STARTS = (_SIGNATURE, b"\xff\xd8\xff", b"GIF8", b"BM")
_SIDE = 16  # pixels
_OWN = re.compile(r"9(\d{12,19})\d\d")
_ADDRESS = re.compile(r"/_sandbox/images/(\d{1,19})\.png")


def picture_of(product_id: int) -> bytes:
    """Return the PNG of a product: a square of one colour, with its id as a text beside it."""
    colour = struct.pack(">I", zlib.crc32(str(product_id).encode()))[:3]
    header = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + colour * _SIDE) * _SIDE)
    chunks = (
        (b"IHDR", header),
        (b"tEXt", b"Product\0" + str(product_id).encode()),
        (b"IDAT", pixels),
        (b"IEND", b""),
    )
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def image_id_of(text: str) -> str:
    """Return the imageId of an upload, whose base64 is *text*."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return REFUSED
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    if len(text) > _MAX_BASE64 or not (is_webp or data.startswith(_STARTS)):
        return REFUSED
    named = re.search(rb"tEXtProduct\0(\d{1,19})", data)
    if named and data == picture_of(int(named[1])):
        return _checked(f"9{int(named[1]):012d}")
    return _checked(str(zlib.crc32(data)))


def _checked(digits: str) -> str:
    """Return an imageId of these digits, which nobody hits by guessing."""
    return f"{digits}{int(digits) % 97:02d}"


def is_image_id(text: str) -> bool:
    """Whether an upload can have been answered with this imageId."""
    return text.isascii() and text.isdecimal() and len(text) > 2 and _checked(text[:-2]) == text


def product_of(image_id: str) -> int | None:
    """Return the product whose own picture has this imageId, None for any other one."""
    own = _OWN.fullmatch(image_id)
    return int(own[1]) if own else None


def product_at(address: str) -> int | None:
    """Return the product whose picture the sandbox serves at an address, None for any other one."""
    own = _ADDRESS.search(address)
    return int(own[1]) if own else None
