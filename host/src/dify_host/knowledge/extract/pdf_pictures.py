"""Takes the pictures out of a PDF: a photograph as the JPEG that it is, any other as it is drawn."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

from dify_host.knowledge.extract.pictures import LARGEST, LEAST_SIDE, Pictures
from dify_host.knowledge.extract.png import png_of

__all__ = ["PdfPictures"]

#: Pixels that are unpacked: of one picture, of a document. More pictures stay out.
_MOST_PIXELS: Final = 40_000_000
_ALL_PIXELS: Final = 100_000_000
#: Pixels that are written: a larger picture is drawn smaller, and once more when it still has too many bytes.
_DRAWN: Final = 2_000_000
_LONGEST_SIDE: Final = 8192
#: So many times as wide or as high is the same shape still.
_ALIKE: Final = 1.05


class PdfPictures:
    """The pictures of one PDF on their way into those of a document; one on every page is unpacked once."""

    def __init__(self, pictures: Pictures) -> None:
        self._pictures = pictures
        self._shown: dict[tuple[bytes, int, int], str] = {}
        self._pixels = 0

    def add(self, item: Any) -> str:
        """What stands for a picture of a page in its text; "" for one that is not kept."""
        import pypdfium2

        try:
            width, height = item.get_px_size()
            if min(width, height) < LEAST_SIDE:
                return ""
            key = hashlib.sha256(bytes(item.get_data())).digest(), width, height
            if key not in self._shown:
                self._shown[key] = "" if self._pictures.is_full else self._taken(item, width, height)
            return self._shown[key]
        except pypdfium2.PdfiumError:  # it is damaged, or of a kind that is not known
            return ""

    def _taken(self, item: Any, width: int, height: int) -> str:
        filters = item.get_filters()
        if filters and filters[-1] == "DCTDecode":
            shown = self._pictures.add(bytes(item.get_data(decode_simple=True)))
            if shown:
                return shown
        pixels = width * height
        if pixels > _MOST_PIXELS or self._pixels + pixels > _ALL_PIXELS:
            return ""
        self._pixels += pixels
        data = _drawn(item, min(pixels, _DRAWN))
        if len(data) > LARGEST:
            data = _drawn(item, int(min(pixels, _DRAWN) * 0.8 * LARGEST / len(data)))
        return self._pictures.add(data)


def _drawn(item: Any, pixels: int) -> bytes:
    """A picture with its masks, turned as on its page, in about so many pixels, as PNG; b"" if nothing is seen."""
    before = item.get_matrix()
    place = _scaled(before.rotate(item.page.get_rotation()), item.get_px_size(), pixels)
    if place is None:
        return b""
    item.set_matrix(place)
    try:
        bitmap = item.get_bitmap(render=True, scale_to_original=False)
    finally:
        item.set_matrix(before)
    width, height, stride = bitmap.width, bitmap.height, bitmap.stride
    rows = bytes(bitmap.buffer)
    if stride != 4 * width:
        rows = b"".join(rows[row * stride : row * stride + 4 * width] for row in range(height))
    return png_of(rows, width, height)


def _scaled(matrix: Any, size: tuple[int, int], pixels: int) -> Any:
    """A matrix that fills so many pixels, with the turn of another one; None for one that shows nothing.

    The shape is that of the picture's own pixels, unless its page shows it in quite another one.
    """
    a, b, c, d, _, _ = matrix.get()
    wide, high = abs(a) + abs(c), abs(b) + abs(d)
    if not (0 < wide < math.inf and 0 < high < math.inf):
        return None
    width, height = map(float, size if abs(a) >= abs(c) else size[::-1])
    shape = wide / high
    if not 1 / _ALIKE < shape * height / width < _ALIKE:
        height = math.sqrt(width * height / shape)
        width = height * shape
    scale = min(math.sqrt(pixels / (width * height)), _LONGEST_SIDE / max(width, height))
    across, down = max(round(width * scale), 1) / wide, max(round(height * scale), 1) / high
    return type(matrix)(a * across, b * down, c * across, d * down, 0, 0)
