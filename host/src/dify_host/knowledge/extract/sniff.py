"""Checks that a file is what its extension says, before any parser sees it."""

from __future__ import annotations

import io
import re
import zipfile

from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType

__all__ = ["OFFICE", "check_content", "program_kind"]

#: Signatures that no document may start with, and what they are.
_EXECUTABLES = (
    (b"\x7fELF", "a Linux program"),
    (b"\xfe\xed\xfa\xce", "a macOS program"),
    (b"\xfe\xed\xfa\xcf", "a macOS program"),
    (b"\xce\xfa\xed\xfe", "a macOS program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a macOS program or Java class"),
    (b"\x00asm", "a WebAssembly module"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut"),
)
_SCRIPT = re.compile(rb"(?:\xef\xbb\xbf)?#![ \t]*/|(?:\xef\xbb\xbf)?\s*<\?php", re.IGNORECASE)
_BINARIES = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
)
_UNICODE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
#: Formats that are zip archives, and the folder that makes them what they are.
OFFICE = {"docx": "word/", "xlsx": "xl/"}
_MAX_UNPACKED = 512 * 1024 * 1024
_MAX_PARTS = 20_000


def check_content(data: bytes, extension: str) -> None:
    """Raise UnsupportedFileType when the bytes are not of that extension, or are a program of any kind.

    ExtractionFailed for an archive that is damaged, or unpacks to more than 512 MiB.
    """
    what = program_kind(data)
    if what:
        raise _disguised(extension, what)
    if extension == "pdf":
        if b"%PDF-" not in data[:1024]:
            raise _disguised(extension, "something else")
    elif extension in OFFICE:
        _check_office(data, extension)
    else:
        _check_text(data, extension)


def program_kind(data: bytes) -> str | None:
    """What kind of program or script the bytes are; None when they are none."""
    for magic, what in _EXECUTABLES:
        if data.startswith(magic):
            return what
    # Text may begin with the two letters; a Windows program points from byte 60 to its header.
    if data.startswith(b"MZ"):
        header = int.from_bytes(data[60:64], "little")
        if data[header : header + 2] in (b"PE", b"NE", b"LE") or b"\x00" in data[:64]:
            return "a Windows program"
    return "a script" if _SCRIPT.match(data[:256]) else None


def _check_office(data: bytes, extension: str) -> None:
    if not data.startswith(b"PK"):
        what = next((what for magic, what in _BINARIES if data.startswith(magic)), "something else")
        raise _disguised(extension, what)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
        raise ExtractionFailed(f"The {extension} file is damaged: {exc}.", hint="Save it again.") from exc
    names = [part.filename for part in parts]
    if "[Content_Types].xml" not in names or not any(name.startswith(OFFICE[extension]) for name in names):
        raise _disguised(extension, "another zip archive")
    if len(parts) > _MAX_PARTS or sum(part.file_size for part in parts) > _MAX_UNPACKED:
        raise ExtractionFailed(f"The {extension} file unpacks to too much.", hint="Split it into smaller files.")


def _check_text(data: bytes, extension: str) -> None:
    for magic, what in _BINARIES:
        if data.startswith(magic):
            raise _disguised(extension, what)
    if b"\x00" in data[:8192] and not data.startswith(_UNICODE_MARKS):
        raise _disguised(extension, "binary data")


def _disguised(extension: str, what: str) -> UnsupportedFileType:
    return UnsupportedFileType(
        f"The file has the extension {extension}, and its content is {what}.", hint="Upload the document itself."
    )
