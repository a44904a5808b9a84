"""What a file is by its name and type: its kind, its limit, and names that are refused."""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import Final

from dify_kernel.errors import BadInput, DifyError, TooLarge
from dify_kernel.graph.values import FileType

from dify_host.knowledge.extract.sniff import program_kind
from dify_host.settings import HostSettings

__all__ = [
    "FileTooLarge",
    "UnsupportedFileType",
    "check_upload",
    "clean_name",
    "extension_of",
    "file_type",
    "guess_type",
]

_KINDS: Final = {
    FileType.IMAGE: frozenset(("jpg", "jpeg", "png", "webp", "gif", "svg")),
    FileType.VIDEO: frozenset(("mp4", "mov", "mpeg", "webm")),
    FileType.AUDIO: frozenset(("mp3", "m4a", "wav", "amr", "mpga")),
    FileType.DOCUMENT: frozenset(
        ("txt", "markdown", "md", "mdx", "pdf", "html", "htm", "xlsx", "xls", "vtt", "properties", "doc", "docx", "csv",
         "eml", "msg", "ppt", "pptx", "xml", "epub", "json", "yaml", "yml")
    ),
}  # fmt: skip
_FORBIDDEN: Final = frozenset('/\\:*?"<>|')
_MAX_NAME: Final = 200


class FileTooLarge(TooLarge):
    """The file is over the limit of its kind."""

    code = "file_too_large"


class UnsupportedFileType(DifyError):
    """The file is not of a kind that is taken."""

    code = "unsupported_file_type"
    status = 415


def extension_of(filename: str) -> str:
    """The extension without its dot, lower case; empty when there is none."""
    return PurePosixPath(filename).suffix.lower().lstrip(".")


def guess_type(filename: str, declared: str | None) -> str:
    """The MIME type that was declared, else the one that the name tells."""
    if declared and declared != "application/octet-stream":
        return declared.split(";")[0].strip()
    return mimetypes.guess_type(filename)[0] or declared or "application/octet-stream"


def file_type(extension: str, mime_type: str) -> FileType:
    """The kind by extension, else by MIME type, else custom."""
    extension = extension.lstrip(".").lower()
    for kind, extensions in _KINDS.items():
        if extension in extensions:
            return kind
    family = mime_type.partition("/")[0]
    return FileType(family) if family in ("image", "audio", "video") else FileType.CUSTOM


def clean_name(filename: str) -> str:
    """The name as it is kept: at most 200 characters, the extension saved; BadInput for path or shell characters."""
    if not _FORBIDDEN.isdisjoint(filename) or any(ord(char) < 32 for char in filename):
        raise BadInput("Filename contains invalid characters", hint='Not allowed: / \\ : * ? " < > |', field="file")
    if len(filename) > _MAX_NAME:
        extension = PurePosixPath(filename).suffix
        filename = filename[: _MAX_NAME - len(extension)] + extension
    return filename


def check_upload(data: bytes, filename: str, settings: HostSettings) -> None:
    """Refuse a file that is too large for its kind, of a blacklisted extension, or a program in disguise."""
    extension = extension_of(filename)
    if extension in {item.strip(". ").lower() for item in settings.upload_file_extension_blacklist}:
        raise BadInput(f"File extension '.{extension}' is not allowed for security reasons", field="file")
    limits = {
        FileType.IMAGE: settings.upload_image_file_size_limit,
        FileType.VIDEO: settings.upload_video_file_size_limit,
        FileType.AUDIO: settings.upload_audio_file_size_limit,
    }
    limit = limits.get(file_type(extension, ""), settings.upload_file_size_limit)
    if len(data) > limit * 1024 * 1024:
        raise FileTooLarge(f"File size exceeded. {filename} is over {limit} MB.", field="file")
    kind = program_kind(data)
    if kind is not None and file_type(extension, "") is not FileType.CUSTOM:
        raise UnsupportedFileType(f"{filename} is {kind}, not what its extension says.", field="file")
