"""The one file of a form, and the fields beside it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request
from litestar.datastructures import UploadFile

from dify_host.files.errors import FilenameNotExists, NoFileUploaded, TooManyFiles
from dify_host.files.service import UploadFile as KeptFile
from dify_host.service.shapes import shown

__all__ = ["UploadedForm", "one_file", "optional_file", "uploaded_body"]


class UploadedForm(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was sent, and the other fields of the form."""

    content: bytes
    filename: str
    mime_type: str | None
    fields: dict[str, Any]


async def one_file(request: Request[Any, Any, Any]) -> UploadedForm:
    """The file of the part `file`; NoFileUploaded, TooManyFiles, FilenameNotExists."""
    found, _ = await optional_file(request)
    if found is None:
        raise NoFileUploaded("Please upload your file.", field="file")
    return found


async def optional_file(request: Request[Any, Any, Any]) -> tuple[UploadedForm | None, dict[str, Any]]:
    """The file, if there is one, and the fields."""
    form = await request.form()
    files = [(name, item) for name, item in form.multi_items() if isinstance(item, UploadFile)]
    fields = {name: item for name, item in form.multi_items() if not isinstance(item, UploadFile)}
    if not any(name == "file" for name, _ in files):
        return None, fields
    if len(files) > 1:
        raise TooManyFiles("Only one file is allowed.", field="file")
    file = files[0][1]
    if not file.filename:
        raise FilenameNotExists("The specified filename does not exist.", field="file")
    content = await file.read()
    return UploadedForm(content=content, filename=file.filename, mime_type=file.content_type, fields=fields), fields


_SHOWN: Final = ("id", "name", "size", "extension", "mime_type", "created_by", "created_at")


def uploaded_body(kept: KeptFile, source_url: str, *, user_id: str) -> dict[str, Any]:
    """What the uploader is told of a file."""
    return {
        **{name: shown(getattr(kept, name)) for name in _SHOWN},
        "preview_url": None,
        "source_url": source_url,
        "original_url": None,
        "user_id": user_id,
        "tenant_id": kept.tenant_id,
        "conversation_id": None,
        "file_key": kept.key,
    }
