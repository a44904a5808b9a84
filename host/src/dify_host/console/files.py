"""Files of the console: its limits, uploads for knowledge bases and apps, and a look into a document."""

from __future__ import annotations

from typing import Any, Final

from dify_kernel.errors import Forbidden
from litestar import Controller, get, post

from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, ConsoleAccount
from dify_host.identity.workspaces import DATASET_EDITORS
from dify_host.knowledge.attachments import MOST_ATTACHMENTS
from dify_host.service.shapes import IdInPath
from dify_host.service.uploads import one_file, uploaded_body

__all__ = ["ConsoleFileController", "ConsoleUploadController"]

_PREVIEW: Final = 3000  # characters


class ConsoleUploadController(Controller):
    """Uploads; they may be larger than other bodies."""

    path = "/files"
    opt = MEMBERS

    @post("/upload", status_code=201)
    async def upload(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """Keep a file: multipart with `file`. With `source` datasets it must be one that knowledge bases can read."""
        form = await one_file(request)
        if form.fields.get("source") == "datasets":
            if caller.role not in DATASET_EDITORS:
                raise Forbidden("Your role may not upload documents.", role=caller.role)
            platform_of(request).documents.admit(form.filename)
        files = caller.workspace.files
        kept = await files.upload(
            form.content, form.filename, form.mime_type, created_by_role="account", created_by=caller.account_id
        )
        return uploaded_body(kept, files.signed_url(kept.id), user_id=caller.account_id)


class ConsoleFileController(Controller):
    """Facts about files, and what is in them."""

    path = "/files"
    opt = MEMBERS

    @get("/upload")
    async def limits(self, caller: ConsoleAccount, request: Call) -> dict[str, int]:
        """How large files may be, in MB, and how many go at once."""
        platform = platform_of(request)
        settings = platform.settings
        return {
            "file_size_limit": settings.upload_file_size_limit,
            "batch_count_limit": settings.upload_file_batch_limit,
            "file_upload_limit": settings.batch_upload_limit,
            "image_file_size_limit": settings.upload_image_file_size_limit,
            "video_file_size_limit": settings.upload_video_file_size_limit,
            "audio_file_size_limit": settings.upload_audio_file_size_limit,
            "workflow_file_upload_limit": settings.workflow_file_upload_limit,
            "image_file_batch_limit": settings.image_file_batch_limit,
            "single_chunk_attachment_limit": MOST_ATTACHMENTS,
            "attachment_image_file_size_limit": platform.knowledge_settings.attachment_image_file_size_limit,
        }

    @get("/support-type")
    async def readable(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The extensions that knowledge bases can read here, without the dot."""
        return {"allowed_extensions": list(platform_of(request).documents.extensions)}

    @get("/{file_id:uuid}/preview")
    async def preview(self, file_id: IdInPath, caller: ConsoleAccount, request: Call) -> dict[str, str]:
        """The first 3,000 characters of a document; 415 for a file that cannot be read."""
        files, documents = caller.workspace.files, platform_of(request).documents
        file = await files.get(str(file_id))
        documents.admit(f"file.{file.extension}")
        data = b"".join([piece async for piece in files.stream(file)])
        return {"content": "\n\n".join(await documents.texts(data, file.extension))[:_PREVIEW]}
