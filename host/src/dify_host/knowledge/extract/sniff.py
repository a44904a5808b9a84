"""Checks that a file is what its extension says, before any parser sees it."""

from __future__ import annotations

import re

from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType
from dify_host.knowledge.extract.archive import open_archive
from dify_host.knowledge.extract.text import encoding_of

__all__ = ["ARCHIVES", "check_content", "program_kind"]

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
#: Formats that are zip archives, and a part, or a folder of parts, that makes them what they are.
ARCHIVES = {
    "docx": "word/",
    "xlsx": "xl/",
    "pptx": "ppt/presentation.xml",
    "epub": "META-INF/container.xml",
    "odt": "content.xml",
    "ods": "content.xml",
}
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: How the formats begin that are neither archives nor text.
_BEGINNINGS: dict[str, tuple[bytes, ...]] = {
    "xls": (_OLE, b"\x09\x00\x04\x00", b"\x09\x02\x06\x00", b"\x09\x04\x06\x00", b"\x09\x08"),
    "msg": (_OLE,),
    "doc": (_OLE,),
    "ppt": (_OLE,),
    "rtf": (b"{\\rtf",),
}
#: How an Office file names its only part that says anything when it has a password.
_LOCKED = "EncryptedPackage".encode("utf-16-le")


def check_content(data: bytes, extension: str) -> None:
    """Raise UnsupportedFileType when the bytes are not of that extension, or are a program of any kind.

    ExtractionFailed for an archive that is damaged, has a password, or unpacks to more than 512 MiB.
    """
    what = program_kind(data)
    if what:
        raise _disguised(extension, what)
    if extension == "pdf":
        if b"%PDF-" not in data[:1024]:
            raise _disguised(extension, "something else")
    elif extension in ARCHIVES:
        _check_archive(data, extension)
    elif extension == "xls" and data.startswith(b"PK"):  # a new workbook under the old name
        _check_archive(data, "xlsx")
    elif extension in _BEGINNINGS:
        if not data.startswith(_BEGINNINGS[extension]):
            raise _disguised(extension, _kind(data))
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


def _check_archive(data: bytes, extension: str) -> None:
    if data.startswith(_OLE) and _LOCKED in data:
        raise ExtractionFailed(
            f"The {extension} file is protected with a password.", hint="Save it without a password."
        )
    if not data.startswith(b"PK"):
        raise _disguised(extension, _kind(data))
    with open_archive(data, extension) as archive:
        names = archive.namelist()
    wanted = ARCHIVES[extension]
    office = extension in ("docx", "xlsx", "pptx")
    if not any(name.startswith(wanted) for name in names) or (office and "[Content_Types].xml" not in names):
        raise _disguised(extension, "another zip archive")


def _check_text(data: bytes, extension: str) -> None:
    what = _kind(data)
    if what != "something else":
        raise _disguised(extension, what)
    if b"\x00" in data[:8192] and not encoding_of(data):
        raise _disguised(extension, "binary data")


def _kind(data: bytes) -> str:
    return next((what for magic, what in _BINARIES if data.startswith(magic)), "something else")


def _disguised(extension: str, what: str) -> UnsupportedFileType:
    return UnsupportedFileType(
        f"The file has the extension {extension}, and its content is {what}.", hint="Upload the document itself."
    )
