"""Small files of every kind that an app's form may ask for."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterable
from typing import Any

import docx
import openpyxl

__all__ = ["PNG", "Sample", "sample_file"]

#: One red pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000"
    "0003010100c9fe92ef0000000049454e44ae426082"
)
_TEXT = "Green tea\n\nThe harvest of the year is good.\n第一段：绿茶的收成很好。\n"
_WAV = b"RIFF" + struct.pack("<I", 44) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
_WAV += b"data" + struct.pack("<I", 8) + b"\x80" * 8

Sample = tuple[str, bytes, str]


def sample_file(types: Iterable[str], extensions: Iterable[str] = ()) -> tuple[str, Sample]:
    """A kind that is allowed and a file of it: name, content, MIME type. An image where anything goes."""
    allowed = [*types] or ["image"]
    for kind in allowed:
        if kind in _PLAIN:
            return kind, _PLAIN[kind]()
    wanted = [extension.lower().lstrip(".") for extension in extensions]
    extension = next((each for each in wanted if each in _BY_EXTENSION), "txt")
    return "custom", _BY_EXTENSION[extension]()


def _docx() -> bytes:
    document = docx.Document()
    document.add_heading("Green tea", 1)
    document.add_paragraph(_TEXT)
    return _saved(document)


def _xlsx() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Tea", 0)
    for row in (["name", "amount"], ["绿茶", 3], ["black tea", 4.5]):
        sheet.append(row)
    return _saved(book)


def _saved(document: Any) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.txt", _TEXT)
    return buffer.getvalue()


_BY_EXTENSION: dict[str, Callable[[], Sample]] = {
    "txt": lambda: ("notes.txt", _TEXT.encode(), "text/plain"),
    "md": lambda: ("notes.md", _TEXT.encode(), "text/markdown"),
    "csv": lambda: ("table.csv", "name,amount\n绿茶,3\n".encode(), "text/csv"),
    "html": lambda: ("page.html", b"<h1>Green tea</h1><p>Good.</p>", "text/html"),
    "json": lambda: ("data.json", b'{"tea": "green"}', "application/json"),
    "docx": lambda: (
        "letter.docx",
        _docx(),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    "xlsx": lambda: ("table.xlsx", _xlsx(), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "png": lambda: ("dot.png", PNG, "image/png"),
    "wav": lambda: ("beep.wav", _WAV, "audio/wav"),
    "zip": lambda: ("notes.zip", _zip(), "application/zip"),
}
_PLAIN: dict[str, Callable[[], Sample]] = {
    "document": _BY_EXTENSION["txt"],
    "image": _BY_EXTENSION["png"],
    "audio": _BY_EXTENSION["wav"],
    "video": lambda: ("clip.mp4", b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video/mp4"),
}
