"""What a file is by its name and type: its kind, its limit, and what is refused."""

from __future__ import annotations

import mimetypes
from typing import Final

from dify_kernel.errors import BadInput
from dify_kernel.graph.values import FileType

from dify_host.files.errors import FilenameNotExists, FileTooLarge, UnsupportedFileType
from dify_host.knowledge.extract.sniff import program_kind
from dify_host.settings import HostSettings

__all__ = ["check_upload", "clean_name", "extension_of", "file_type", "guess_type", "object_name"]

_KINDS: Final = {
    FileType.IMAGE: frozenset(("jpg", "jpeg", "png", "webp", "gif", "svg")),
    FileType.VIDEO: frozenset(("mp4", "mov", "mpeg", "webm")),
    FileType.AUDIO: frozenset(("mp3", "m4a", "wav", "amr", "mpga")),
    FileType.DOCUMENT: frozenset(
        ("txt", "markdown", "md", "mdx", "pdf", "html", "htm", "xlsx", "xls", "vtt", "properties", "doc", "docx", "csv",
         "eml", "msg", "ppt", "pptx", "xml", "epub", "json", "jsonl", "odt", "ods", "rtf")
    ),
}  # fmt: skip
_FORBIDDEN: Final = frozenset('/\\:*?"<>|')
_LONGEST_NAME: Final = 200
_LONGEST_SUFFIX: Final = 16  # characters; a longer ending is no extension
_MB: Final = 1024 * 1024


def extension_of(filename: str) -> str:
    """The extension without its dot, in lower case; empty when there is none, or it is longer than 16 characters."""
    stem, dot, extension = filename.rpartition(".")
    return extension.lower() if dot and stem and len(extension) <= _LONGEST_SUFFIX else ""


def guess_type(filename: str, declared: str | None) -> str:
    """The MIME type that was declared, else the one that the name tells."""
    said = (declared or "").partition(";")[0].strip().lower()
    if said and said != "application/octet-stream":
        return said[:255]
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def file_type(extension: str, mime_type: str) -> FileType:
    """The kind by extension, else by MIME type, else custom."""
    extension = extension.lstrip(".").lower()
    for kind, extensions in _KINDS.items():
        if extension in extensions:
            return kind
    family = mime_type.partition("/")[0]
    return FileType(family) if family in ("image", "audio", "video") else FileType.CUSTOM


def clean_name(filename: str | None) -> str:
    """The name as it is kept: at most 200 characters, the extension saved.

    FilenameNotExists without one, BadInput for characters of paths, shells and terminals.
    """
    if not filename:
        raise FilenameNotExists("The specified filename does not exist.", field="file")
    if not _FORBIDDEN.isdisjoint(filename) or not filename.isprintable():
        raise BadInput("Filename contains invalid characters", hint='Not allowed: / \\ : * ? " < > |', field="file")
    if len(filename) > _LONGEST_NAME:
        extension = extension_of(filename)
        suffix = f".{extension}" if extension else ""
        return filename[: _LONGEST_NAME - len(suffix)] + suffix
    return filename


def check_upload(data: bytes, filename: str, settings: HostSettings, mime_type: str = "") -> None:
    """Refuse a file that is too large for its kind, of a blacklisted extension, or a program in disguise.

    Raises BadInput, FileTooLarge or UnsupportedFileType.
    """
    extension = extension_of(filename)
    if extension in {item.strip(". ").lower() for item in settings.upload_file_extension_blacklist} - {""}:
        raise BadInput(f"File extension '.{extension}' is not allowed for security reasons", field="file")
    kind = file_type(extension, mime_type)
    limits = {
        FileType.IMAGE: settings.upload_image_file_size_limit,
        FileType.VIDEO: settings.upload_video_file_size_limit,
        FileType.AUDIO: settings.upload_audio_file_size_limit,
    }
    limit = limits.get(kind, settings.upload_file_size_limit)
    if len(data) > limit * _MB:
        raise FileTooLarge(f"File size exceeded. {filename} is over {limit} MB.", field="file")
    program = program_kind(data)
    if program is not None and kind is not FileType.CUSTOM:
        raise UnsupportedFileType(f"{filename} is {program}, not what its name says.", field="file")


def object_name(file_id: str, extension: str) -> str:
    """The last part of a storage key: the id, and the extension when it is plain."""
    return f"{file_id}.{extension}" if extension.isascii() and extension.isalnum() else file_id
