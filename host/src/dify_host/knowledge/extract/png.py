"""Writes pixels as PNG."""

from __future__ import annotations

import struct
import zlib
from typing import Final

__all__ = ["png_of"]

#: The colour types of PNG by their channels: grey, grey with alpha, colours, colours with alpha.
_TYPES: Final = {1: 0, 2: 4, 3: 2, 4: 6}


def png_of(bgra: bytes, width: int, height: int) -> bytes:
    """A PNG of pixels of four bytes each, without padding; b"" when nothing of it can be seen.

    Without alpha and colour where it has none.
    """
    blue, green, red, alpha = (bgra[channel::4] for channel in range(4))
    if not any(alpha):
        return b""
    channels = [green] if blue == green == red else [red, green, blue]
    if alpha.count(255) != len(alpha):
        channels.append(alpha)
    depth = len(channels)
    pixels = bytearray(depth * width * height)
    for channel, values in enumerate(channels):
        pixels[channel::depth] = values
    head = struct.pack(">IIBBBBB", width, height, 8, _TYPES[depth], 0, 0, 0)
    data = zlib.compress(_filtered(bytes(pixels), depth * width))
    return b"\x89PNG\r\n\x1a\n" + _part(b"IHDR", head) + _part(b"IDAT", data) + _part(b"IEND", b"")


def _part(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(pixels: bytes, stride: int) -> bytes:
    """The rows as their differences to the row above (filter 2, Up), which makes photographs smaller.

    All bytes are subtracted at once, as one number: the high bit of each keeps its neighbours apart.
    """
    size = len(pixels)
    high = int.from_bytes(b"\x80" * size, "little")
    these = int.from_bytes(pixels, "little")
    above = int.from_bytes(bytes(stride) + pixels[: size - stride], "little")
    low = ((1 << 8 * size) - 1) ^ high
    rows = (((these | high) - (above & low)) ^ ((these ^ ~above) & high)).to_bytes(size, "little")
    return b"".join(b"\x02" + rows[start : start + stride] for start in range(0, size, stride))
