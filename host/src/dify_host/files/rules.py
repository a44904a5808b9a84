"""Which files an app takes: how many, of which kinds and extensions, from where; told before a run starts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.inputs import InputVariable
from dify_kernel.graph.values import File, FileTransfer, FileType

from dify_host.files.kinds import file_type

__all__ = ["FileRules", "check_files", "sent_rules", "variable_rules"]

_NUMBER: Final = 3  # files of a message, where the app does not say
_METHODS: Final = ("remote_url", "local_file")


class FileRules(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken. An empty list of types or methods takes any; extensions count for the type `custom` alone.

    `number` None leaves the count to somebody else.
    """

    types: Sequence[str] = ()
    extensions: Sequence[str] = ()
    methods: Sequence[str] = ()
    number: int | None = None


def sent_rules(file_upload: Mapping[str, Any] | None) -> FileRules | None:
    """The rules for the files of a message or run, out of the feature `file_upload`; None when it is off.

    The older form, `image: {enabled, number_limits, transfer_methods}`, stands above the newer keys, as in Dify.
    """
    given = file_upload or {}
    image = given.get("image") or {}
    if image.get("enabled"):
        return FileRules(
            types=_texts(given.get("allowed_file_types")) or ("image",),
            extensions=_texts(given.get("allowed_file_extensions")),
            methods=_texts(image.get("transfer_methods")) or _METHODS,
            number=_count(image.get("number_limits")),
        )
    if not given.get("enabled"):
        return None
    return FileRules(
        types=_texts(given.get("allowed_file_types")),
        extensions=_texts(given.get("allowed_file_extensions")),
        methods=_texts(given.get("allowed_file_upload_methods")),
        number=_count(given.get("number_limits")),
    )


def variable_rules(item: InputVariable) -> FileRules:
    """The rules for the files of a form's field; the form itself counts them."""
    return FileRules(
        types=_texts(item.allowed_file_types),
        extensions=_texts(item.allowed_file_extensions),
        methods=_texts(item.allowed_file_upload_methods),
    )


def check_files(rules: FileRules, files: Sequence[File]) -> None:
    """BadInput, in Dify's words, for too many files or the first one that does not fit."""
    if rules.number is not None and len(files) > rules.number:
        raise BadInput(f"Number of files exceeds the maximum limit {rules.number}", field="files")
    for file in files:
        if not _fits(rules, file):
            raise BadInput(f"File validation failed for file: {file.filename}", field="files")


def _fits(rules: FileRules, file: File) -> bool:
    if file.transfer_method is FileTransfer.TOOL_FILE:
        return True  # what the app's own tools made goes back into it
    if rules.methods and file.transfer_method not in rules.methods:
        return False
    if not rules.types or _kind(file) in rules.types:
        return True
    if FileType.CUSTOM not in rules.types:
        return False
    return _bare(file.extension or "") in {_bare(item) for item in rules.extensions} - {""}


def _kind(file: File) -> FileType | None:
    """What the file is, whatever its sender says; `custom` is no kind: its extension decides.

    Only a remote address that tells nothing is believed its declared type.
    """
    found = file_type(file.extension or "", file.mime_type or "")
    if found is not FileType.CUSTOM:
        return found
    believed = file.transfer_method is FileTransfer.REMOTE_URL and not file.extension
    return file.type if believed and file.type is not FileType.CUSTOM else None


def _bare(extension: str) -> str:
    return extension.strip().lstrip(".").lower()


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list | tuple) else ()


def _count(value: Any) -> int:
    """A count as people write it; what is none, or not positive, is the default."""
    try:
        count = int(value)
    except (TypeError, ValueError):
        return _NUMBER
    return count if count > 0 else _NUMBER
