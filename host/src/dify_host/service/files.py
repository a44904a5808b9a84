"""Files of an app's users: upload, and look at them again."""

from __future__ import annotations

from typing import Annotated, Any

from dify_kernel.errors import NotFound
from litestar import Controller, get, post
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from dify_host.files.errors import FileAccessDenied
from dify_host.files.service import ToolFile, UploadFile
from dify_host.http.callers import AppKey, Call, platform_of
from dify_host.http.file_headers import file_headers
from dify_host.runs.message_files import MessageFiles
from dify_host.service.form_schema import FileForm
from dify_host.service.shapes import IdInPath
from dify_host.service.uploads import one_file, uploaded_body

__all__ = ["FileController", "UploadController"]


class UploadController(Controller):
    """Uploads; they may be larger than other bodies."""

    path = "/files"
    tags = ("Files",)

    @post("/upload", status_code=201, operation_class=FileForm)
    async def upload(self, caller: AppKey, request: Call) -> dict[str, Any]:
        """Keep a file for the app's user: multipart with `file` and `user`."""
        form = await one_file(request)
        end_user = await caller.end_user(form.fields.get("user"))
        kept = await caller.workspace.files.upload(
            form.content, form.filename, form.mime_type, created_by_role="end_user", created_by=end_user.id
        )
        return uploaded_body(kept, caller.workspace.files.signed_url(kept.id), user_id=end_user.id)


class FileController(Controller):
    """Files that were uploaded."""

    path = "/files"
    tags = ("Files",)

    @get("/{file_id:uuid}/preview")
    async def preview(
        self,
        file_id: IdInPath,
        caller: AppKey,
        request: Call,
        as_attachment: Annotated[bool, QueryParameter()] = False,
        user: FromQuery[str | None] = None,
    ) -> Stream:
        """The bytes of a file that a user of this app uploaded, or that is part of a message of this app."""
        files = caller.workspace.files
        file = await files.find(str(file_id))
        if not await _is_own(caller.app_id, file, caller.workspace.end_users.get):
            attached = MessageFiles(platform_of(request).db, caller.tenant)
            if not await attached.in_app(caller.app_id, file.id):
                raise FileAccessDenied("Access to the requested file is denied.", file_id=file.id)
        mime_type = file.mime_type if isinstance(file, UploadFile) else file.mimetype
        headers = file_headers(file.name, mime_type, file.size, attachment=as_attachment)
        return Stream(files.stream(file), headers=headers, media_type=headers["Content-Type"])


async def _is_own(app_id: str, file: UploadFile | ToolFile, end_user: Any) -> bool:
    """Whether it came through this app: another app's users and the workspace's members are strangers here."""
    if isinstance(file, ToolFile) or file.created_by_role != "end_user":
        return False
    try:
        return bool((await end_user(file.created_by)).app_id == app_id)
    except NotFound:
        return False
