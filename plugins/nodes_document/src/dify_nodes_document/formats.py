"""Which format a file has: by its extension when it has one, else by its MIME type. Pure."""

from __future__ import annotations

from typing import Final

from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File

__all__ = ["BY_PLATFORM", "PLAIN", "TEXTUAL", "extraction_failed", "format_of", "unsupported"]

#: The format whose bytes are the text itself.
PLAIN: Final = "plain"
#: The formats that are written as text.
TEXTUAL: Final = frozenset((PLAIN, "json", "yaml", "csv", "properties", "eml"))

_PLAIN_EXTENSIONS = (
    "txt markdown md mdx html htm xml vtt srt rst tex jsonl "
    "c h cpp hpp cc cxx c++ cs py js ts jsx tsx java php rb go rs swift kt scala sh bash bat ps1 sql r m pl lua vim "
    "asm s css scss less sass ini cfg conf toml env log"
)
_EXTENSIONS: Final = {
    **dict.fromkeys(_PLAIN_EXTENSIONS.split(), PLAIN),
    "json": "json",
    "yaml": "yaml",
    "yml": "yaml",
    "csv": "csv",
    "properties": "properties",
    "pdf": "pdf",
    "docx": "docx",
    "xlsx": "excel",
    "xls": "excel",
    "pptx": "pptx",
    "epub": "epub",
    "eml": "eml",
    "msg": "msg",
    "doc": "doc",
    "ppt": "ppt",
    "odt": "odt",
    "ods": "ods",
    "rtf": "rtf",
}
#: The formats that the platform reads for the node, as it does for knowledge bases.
BY_PLATFORM: Final = frozenset(("doc", "ppt", "odt", "ods", "rtf"))
_MIME_TYPES: Final = {
    "application/json": "json",
    "application/x-yaml": "yaml",
    "application/yaml": "yaml",
    "text/yaml": "yaml",
    "text/csv": "csv",
    "text/properties": "properties",
    "application/xml": PLAIN,
    "application/pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "excel",
    "application/vnd.ms-excel": "excel",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/epub+zip": "epub",
    "message/rfc822": "eml",
    "application/vnd.ms-outlook": "msg",
    "application/msword": "doc",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/rtf": "rtf",
    "text/rtf": "rtf",
}


def format_of(file: File) -> str:
    """The format of a file; UnsupportedFileTypeError when it is not known or cannot be read here."""
    extension = (file.extension or "").strip().lower().removeprefix(".")
    mime_type = (file.mime_type or "").partition(";")[0].strip().lower()
    if extension:
        if extension not in _EXTENSIONS:
            raise unsupported(f"Unsupported Extension Type: .{extension}")
        return _EXTENSIONS[extension]
    if not mime_type:
        raise unsupported("Unable to determine file type: MIME type or file extension is missing")
    if mime_type in _MIME_TYPES:
        return _MIME_TYPES[mime_type]
    if mime_type.startswith("text/"):
        return PLAIN
    raise unsupported(f"Unsupported MIME type: {mime_type}")


def unsupported(message: str, *, hint: str = "") -> NodeFailed:
    """The failure for a file of a type that cannot be read."""
    return NodeFailed(message, hint=hint, error_type="UnsupportedFileTypeError")


def extraction_failed(what: str, reason: object, *, hint: str = "") -> NodeFailed:
    """The failure for a file that is damaged, protected, too large, or something else than it says."""
    return NodeFailed(f"Failed to extract text from {what}: {reason}", hint=hint, error_type="TextExtractionError")
