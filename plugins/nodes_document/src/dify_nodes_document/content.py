"""Checks that bytes are of the format that a file's name says, before any parser sees them. Pure."""

from __future__ import annotations

from typing import Final

from dify_nodes_document.formats import TEXTUAL, extraction_failed

__all__ = ["OLE", "ZIP", "check_content"]

ZIP: Final = b"PK\x03\x04"
#: Old Office files, Outlook messages, and new Office files with a password.
OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_BINARIES: Final = (
    (b"%PDF-", "a PDF"),
    (ZIP, "a zip archive"),
    (OLE, "an old Office file, or one with a password"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
)
_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_HINT: Final = "Give the file the extension of what it is, or save it again without a password."


def check_content(data: bytes, kind: str) -> None:
    """Raise TextExtractionError when the bytes are plainly something else."""
    found = next((what for magic, what in _BINARIES if data.startswith(magic)), "something else")
    if kind in TEXTUAL:
        if found == "something else":
            if b"\x00" not in data[:8192] or data.startswith(_MARKS):
                return
            found = "binary data"
    elif kind == "pdf":
        if b"%PDF-" in data[:1024]:
            return
    elif kind == "msg":
        if data.startswith(OLE):
            return
    elif kind == "excel":
        if data.startswith((ZIP, OLE, b"\x09\x00", b"\x09\x02", b"\x09\x04", b"\x09\x08")):
            return
    elif data.startswith(ZIP):
        return
    raise extraction_failed(f"a file that is named as {kind}", f"its content is {found}", hint=_HINT)
