"""Files of an app's users: upload, and look at them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from dify_kernel.errors import NotFound
from litestar import Controller, get, post
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from dify_host.files.errors import FileAccessDenied
from dify_host.files.service import UploadFile
from dify_host.http.callers import AppKey, Call
from dify_host.http.file_headers import file_headers
from dify_host.service.shapes import IdInPath, shown
from dify_host.service.uploads import one_file

__all__ = ["FileController", "UploadController"]


class UploadController(Controller):
    """Uploads; they may be larger than other bodies."""

    path = "/files"
    tags = ("Files",)

    @post("/upload", status_code=201)
    async def upload(self, caller: AppKey, request: Call) -> dict[str, Any]:
        """Keep a file for the app's user: multipart with `file` and `user`."""
        form = await one_file(request)
        end_user = await caller.end_user(form.fields.get("user"))
        kept = await caller.workspace.files.upload(
            form.content, form.filename, form.mime_type, created_by_role="end_user", created_by=end_user.id
        )
        return {
            **_file_body(kept),
            "preview_url": None,
            "source_url": caller.workspace.files.signed_url(kept.id),
            "original_url": None,
            "user_id": end_user.id,
            "tenant_id": caller.tenant.id,
            "conversation_id": None,
            "file_key": kept.key,
        }


class FileController(Controller):
    """Files that were uploaded."""

    path = "/files"
    tags = ("Files",)

    @get("/{file_id:uuid}/preview")
    async def preview(
        self,
        file_id: IdInPath,
        caller: AppKey,
        as_attachment: Annotated[bool, QueryParameter()] = False,
        user: FromQuery[str | None] = None,
    ) -> Stream:
        """The bytes of a file that a user of this app uploaded."""
        files = caller.workspace.files
        file = await files.get(str(file_id))
        await _require_own(caller.app_id, file, caller.workspace.end_users.get)
        headers = file_headers(file.name, file.mime_type, file.size, attachment=as_attachment)
        return Stream(files.stream(file), headers=headers, media_type=headers["Content-Type"])


async def _require_own(app_id: str, file: UploadFile, end_user: Any) -> None:
    """Only what came through this app: another app's users and the workspace's members are strangers here."""
    try:
        owner = await end_user(file.created_by) if file.created_by_role == "end_user" else None
    except NotFound:
        owner = None
    if owner is None or owner.app_id != app_id:
        raise FileAccessDenied("Access to the requested file is denied.", file_id=file.id)


def _file_body(file: UploadFile) -> Mapping[str, Any]:
    names = ("id", "name", "size", "extension", "mime_type", "created_by", "created_at")
    return {name: shown(getattr(file, name)) for name in names}
