"""Pictures of a PDF that are no JPEG become PNG as their page shows them, in bounds; broken ones cost nothing."""

from __future__ import annotations

import base64
import struct
import time
import zlib

import pytest
from dify_host.knowledge.extract import pdf_pictures
from dify_host.knowledge.extract.pdf import read_pdf
from dify_host.knowledge.extract.pictures import LARGEST, Pictures
from dify_host.knowledge.extract.png import png_of
from hypothesis import given
from hypothesis import strategies as st

from .hostile import _document, _stream

WIDTH, HEIGHT = 64, 40
SIZE = WIDTH * HEIGHT
#: Left half black, right half white, as JPEG 2000 (OpenJPEG 2.5) and as CCITT group 4 (libtiff).
JPX = base64.b64decode(
    "AAAADGpQICANCocKAAAAFGZ0eXBqcDIgAAAAAGpwMiAAAAAtanAyaAAAABZpaGRyAAAAKAAAAEAAAQcHAAAAAAAPY29scgEAAAAAABEAAADaanAyY/9P"
    "/1EAKQAAAAAAQAAAACgAAAAAAAAAAAAAAEAAAAAoAAAAAAAAAAAAAQcBAf9SAAwAAAABAAUEBAAB/1wAE0BASEhQSEhQSEhQSEhQSEhQ/2QAJQABQ3Jl"
    "YXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS40/5AACgAAAAAAWQAB/5PfgDAJT2BQqFDH2goACBifeL/H2hAAEC6Ek+6CFvfPwCwhbYQXd0Vfrkd8"
    "38/ASDXyP+Cd7I3p1ty/renAbFUbX8faDABe+sU6zs//2Q=="
)
CCITT = bytes.fromhex("2360d5fffffffffffffffffff8008008")
HALVES = (bytes(WIDTH // 2) + b"\xff" * (WIDTH // 2)) * HEIGHT
COLORS = bytes(value for y in range(HEIGHT) for x in range(WIDTH) for value in (x * 4, y * 6, 128))


def pdf(
    kind: str,
    data: bytes,
    *,
    place: str = "128 0 0 80 10 10",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    mask: bytes = b"",
    pages: int = 1,
) -> bytes:
    """A page with a word and a picture, which has a soft mask where there is one."""
    content = _stream(f"BT /F 9 Tf 1 1 Td (Word) Tj ET q {place} cm /P Do Q ".encode() * pages)
    image = f"/Type /XObject /Subtype /Image /Width {size[0]} /Height {size[1]}"
    soft = f"/Width {size[0]} /Height {size[1]} /BitsPerComponent 8 /ColorSpace /DeviceGray /Subtype /Image"
    masked = " /SMask 7 0 R" if mask else ""
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    resources = "<< /XObject << /P 5 0 R >> /Font << /F 6 0 R >> >>"
    return _document(content, _stream(data, f"{image} {kind}{masked}"), font, _stream(mask, soft), resources=resources)


def shown(data: bytes) -> tuple[int, int, int, bytes]:
    """Width, height, channels and pixels of the one picture of a document."""
    pictures = Pictures()
    (text,) = read_pdf(data, pictures)
    (picture,) = pictures.found.values()
    assert picture.extension == "png"
    assert f"picture:{picture.digest}" in text.text
    return unpacked(picture.data)


def unpacked(png: bytes) -> tuple[int, int, int, bytes]:
    """What a PNG holds; its checksums are right."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, parts = 8, {}
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        name, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert struct.unpack(">I", png[place + 8 + length : place + 12 + length]) == (zlib.crc32(name + data),)
        parts[name] = data
        place += 12 + length
    assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert (depth, rest) == (8, [0, 0, 0])
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    data, stride = zlib.decompress(parts[b"IDAT"]), width * channels
    above, rows = bytes(stride), []
    for start in range(0, len(data), stride + 1):
        assert data[start] == 2
        above = bytes((a + b) & 255 for a, b in zip(above, data[start + 1 : start + 1 + stride], strict=True))
        rows.append(above)
    assert len(rows) == height
    return width, height, channels, b"".join(rows)


RGB = "/BitsPerComponent 8 /ColorSpace /DeviceRGB"
FLATE = f"{RGB} /Filter /FlateDecode"
PALETTE = "/BitsPerComponent 8 /ColorSpace [/Indexed /DeviceRGB 1 <000000ffffff>] /Filter /FlateDecode"
FAX = "/BitsPerComponent 1 /ColorSpace /DeviceGray /Filter /CCITTFaxDecode "
FAX += f"/DecodeParms << /K -1 /Columns {WIDTH} /Rows {HEIGHT} /BlackIs1 true >>"
ONE_BIT = (bytes(WIDTH // 16) + b"\xff" * (WIDTH // 16)) * HEIGHT


@pytest.mark.parametrize(
    ("kind", "data", "channels", "pixels"),
    [
        (FLATE, zlib.compress(COLORS), 3, COLORS),
        (RGB, COLORS, 3, COLORS),
        ("/BitsPerComponent 8 /ColorSpace /DeviceGray", HALVES, 1, HALVES),
        ("/BitsPerComponent 1 /ColorSpace /DeviceGray", ONE_BIT, 1, HALVES),
        (PALETTE, zlib.compress(bytes(value & 1 for value in HALVES)), 1, HALVES),
        (FAX, CCITT, 1, HALVES),
        ("/Filter /JPXDecode", JPX, 1, HALVES),
    ],
)
def test_every_kind_becomes_png_pixel_by_pixel(kind: str, data: bytes, channels: int, pixels: bytes) -> None:
    assert shown(pdf(kind, data)) == (WIDTH, HEIGHT, channels, pixels)


def test_a_soft_mask_becomes_alpha() -> None:
    ramp = bytes(x * 4 for _ in range(HEIGHT) for x in range(WIDTH))
    width, height, channels, pixels = shown(pdf(FLATE, zlib.compress(COLORS), mask=ramp))
    assert (width, height, channels) == (WIDTH, HEIGHT, 4)
    assert pixels[3::4] == ramp
    assert pixels[4 * 32 : 4 * 32 + 3] == COLORS[3 * 32 : 3 * 32 + 3]


def test_a_picture_is_turned_as_on_its_page_and_keeps_its_shape() -> None:
    rows = [COLORS[start : start + 3 * WIDTH] for start in range(0, len(COLORS), 3 * WIDTH)]
    data = zlib.compress(COLORS)
    assert shown(pdf(FLATE, data, place="128 0 0 -80 10 90"))[3] == b"".join(reversed(rows))
    assert shown(pdf(FLATE, data, place="0 128 -80 0 90 10"))[:2] == (HEIGHT, WIDTH)
    assert shown(pdf(FLATE, data, place="128 0 0 20 10 10"))[:2] == (128, 20)
    assert shown(pdf(FLATE, data).replace(b"/Type /Page ", b"/Type /Page /Rotate 90 "))[:2] == (HEIGHT, WIDTH)


def test_a_large_picture_is_drawn_smaller() -> None:
    side = 3000
    flat = zlib.compress(b"\x00\x80\xff" * side * side)
    width, height, _, pixels = shown(pdf(FLATE, flat, size=(side, side), place="90 0 0 90 0 0"))
    assert width == height
    assert 1_900_000 < width * height <= 2_000_000
    assert set(zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True)) == {(0, 128, 255)}
    noise = zlib.compress(bytes((n * n * 7 + n // 3) * 2654435761 >> 13 & 255 for n in range(3 * 1200 * 1200)), 1)
    pictures = Pictures()
    read_pdf(pdf(FLATE, noise, size=(1200, 1200), place="90 0 0 90 0 0"), pictures)
    (picture,) = pictures.found.values()
    assert len(picture.data) <= LARGEST


def test_a_picture_that_stands_often_is_unpacked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = pdf_pictures.png_of
    monkeypatch.setattr(pdf_pictures, "png_of", lambda *args: drawn.append(1) or draw(*args))
    (text,) = read_pdf(pdf(FLATE, zlib.compress(COLORS), pages=5), pictures := Pictures())
    assert (text.text.count("![image]"), len(pictures.found), len(drawn)) == (5, 1, 1)


@pytest.mark.parametrize(
    ("kind", "data", "size"),
    [
        (FLATE, b"no zlib", (WIDTH, HEIGHT)),
        (FLATE, zlib.compress(COLORS), (31, 40)),  # an ornament
        (FLATE, zlib.compress(COLORS), (100_000, 100_000)),
        ("/Filter /JPXDecode", JPX[:90], (WIDTH, HEIGHT)),
        ("/Filter /Unheard", COLORS, (WIDTH, HEIGHT)),
        ("/BitsPerComponent 8 /ColorSpace /Missing", COLORS, (WIDTH, HEIGHT)),
    ],
)
@pytest.mark.parametrize("place", ["128 0 0 80 10 10", "0 0 0 0 0 0", "1e30 0 0 1e-30 0 0", "1 1 1 1 0 0"])
def test_what_cannot_be_shown_leaves_the_words(kind: str, data: bytes, size: tuple[int, int], place: str) -> None:
    began = time.process_time()
    (text,) = read_pdf(pdf(kind, data, size=size, place=place), Pictures())
    assert text.text.startswith("Word")
    assert time.process_time() - began < 5


@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.booleans(), st.booleans())
def test_what_is_written_is_what_is_read(data: st.DataObject, width: int, height: int, grey: bool, clear: bool) -> None:
    values = data.draw(st.binary(min_size=4 * width * height, max_size=4 * width * height))
    pixels = [values[start : start + 4] for start in range(0, len(values), 4)]
    pixels = [(p[:1] * 3 if grey else p[:3]) + (p[3:] if clear else b"\xff") for p in pixels]
    png = png_of(b"".join(pixels), width, height)
    if not any(p[3] for p in pixels):
        assert png == b""
        return
    got_width, got_height, channels, got = unpacked(png)
    assert (got_width, got_height) == (width, height)
    cells = [got[start : start + channels] for start in range(0, len(got), channels)]
    alpha = channels in (2, 4)
    assert alpha == any(p[3] != 255 for p in pixels)
    colors = [cell[:-1] if alpha else cell for cell in cells]
    assert [color[::-1] * (3 if len(color) == 1 else 1) for color in colors] == [p[:3] for p in pixels]
