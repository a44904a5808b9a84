"""Files of a workspace: uploads and what nodes make; the bytes in storage, a row for each, links that expire."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from dify_kernel.contracts.http import HttpClient, HttpRequest
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, NotFound, ObjectNotFound
from dify_kernel.graph.values import File, FileTransfer, FileType

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.files.kinds import check_upload, clean_name, extension_of, file_type, guess_type
from dify_host.files.tables import tool_files, upload_files
from dify_host.net.crypto import SignedLink, sign_link, verify_link
from dify_host.settings import HostSettings

__all__ = ["FileService", "UploadFile"]

_NOBODY = "00000000-0000-0000-0000-000000000000"


class UploadFile(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded file; `extension` has no dot."""

    id: str
    tenant_id: str
    key: str
    name: str
    size: int
    extension: str
    mime_type: str | None
    created_by_role: str
    created_by: str
    created_at: datetime


class FileService(TenantRepository):
    """The files of one workspace. The row is written after the object: an orphaned object is harmless."""

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        storage: Storage,
        settings: HostSettings,
        *,
        secret_key: str,
        http: HttpClient | None = None,
    ) -> None:
        super().__init__(db, tenant)
        self._storage, self._settings = storage, settings
        self._secret_key, self._http = secret_key, http

    # -- uploads ----------------------------------------------------------------------------------------------

    async def upload(
        self, data: bytes, filename: str, mime_type: str | None, *, created_by_role: str, created_by: str
    ) -> UploadFile:
        """Keep a file; BadInput, FileTooLarge or UnsupportedFileType when it is not taken."""
        name = clean_name(filename)
        check_upload(data, name, self._settings)
        extension = extension_of(name)
        file_id = new_id()
        suffix = f".{extension}" if extension else ""
        row = {
            "id": file_id,
            "tenant_id": self.tenant.id,
            "storage_type": self._settings.storage_type,
            "key": f"upload_files/{self.tenant.id}/{file_id}{suffix}",
            "name": name,
            "size": len(data),
            "extension": extension,
            "mime_type": guess_type(name, mime_type),
            "created_by_role": created_by_role,
            "created_by": created_by,
            "used": False,
            "hash": hashlib.sha256(data).hexdigest(),
            "source_url": "",
            "created_at": utc_now(),
        }
        await self._storage.save(str(row["key"]), data)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(upload_files, row))
        return msgspec.convert(row, UploadFile)

    async def get(self, file_id: str) -> UploadFile:
        """One upload; NotFound when it is not this workspace's."""
        query = self.scoped_select(upload_files).where(upload_files.c.id == file_id)
        async with self.db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise NotFound(f"The file {file_id} does not exist.", file_id=file_id)
        return to_struct(row, UploadFile)

    async def open(self, file_id: str) -> bytes:
        """The bytes of an upload."""
        return await self._load((await self.get(file_id)).key, file_id)

    async def _load(self, key: str, file_id: str) -> bytes:
        try:
            return await self._storage.load(key)
        except ObjectNotFound as exc:
            raise NotFound(f"The content of file {file_id} is gone from storage.", file_id=file_id) from exc

    # -- files in requests and in runs ------------------------------------------------------------------------

    async def resolve(self, given: dict[str, Any]) -> File:
        """The file that a request's object names: an upload of this workspace, or a remote address."""
        method = given.get("transfer_method")
        if method == FileTransfer.REMOTE_URL:
            return self._remote(given)
        if method == FileTransfer.LOCAL_FILE:
            file_id = given.get("upload_file_id")
            if not isinstance(file_id, str) or not file_id:
                raise BadInput("A local file needs its `upload_file_id`.", field="upload_file_id")
            try:
                return self.value(await self.get(file_id), given.get("type"))
            except NotFound as exc:
                raise BadInput("Invalid upload file", hint="Upload it first.", field="upload_file_id") from exc
        hint = "Use local_file or remote_url."
        raise BadInput(f"Unknown transfer method {method!r}.", hint=hint, field="transfer_method")

    def value(self, upload: UploadFile, kind: Any = None) -> File:
        """An upload as a value of a run; `kind` may only narrow a custom file."""
        mime_type = upload.mime_type or ""
        found = file_type(upload.extension, mime_type)
        return File(
            id=upload.id,
            tenant_id=self.tenant.id,
            type=_stated(kind, found),
            transfer_method=FileTransfer.LOCAL_FILE,
            related_id=upload.id,
            filename=upload.name,
            extension=f".{upload.extension}" if upload.extension else "",
            mime_type=mime_type,
            size=upload.size,
            url=self.signed_url(upload.id),
        )

    def _remote(self, given: dict[str, Any]) -> File:
        url = given.get("url") or given.get("remote_url")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise BadInput("A remote file needs a `url` that begins with http.", field="url")
        name = urlsplit(url).path.rsplit("/", 1)[-1] or "file"
        mime_type = guess_type(name, None)
        extension = extension_of(name)
        return File(
            tenant_id=self.tenant.id,
            type=_stated(given.get("type"), file_type(extension, mime_type)),
            transfer_method=FileTransfer.REMOTE_URL,
            remote_url=url,
            filename=name,
            extension=f".{extension}" if extension else "",
            mime_type=mime_type,
            url=url,
        )

    async def load(self, file: File) -> bytes:
        """The bytes behind a file value; a remote one is fetched by the guarded client."""
        if file.transfer_method == FileTransfer.REMOTE_URL:
            return await self._fetch(file)
        if file.related_id is None:
            raise NotFound(f"The file {file.filename!r} names no upload.")
        if file.transfer_method == FileTransfer.TOOL_FILE:
            query = self.scoped_select(tool_files, tool_files.c.file_key).where(tool_files.c.id == file.related_id)
            async with self.db.read() as conn:
                key = (await conn.execute(query)).scalar()
            if key is None:
                raise NotFound(f"The file {file.related_id} does not exist.", file_id=file.related_id)
            return await self._load(str(key), file.related_id)
        return await self.open(file.related_id)

    async def _fetch(self, file: File) -> bytes:
        if self._http is None or not file.remote_url:
            raise NotFound(f"The file {file.filename!r} cannot be fetched here.")
        limit = self._settings.upload_video_file_size_limit * 1024 * 1024
        answer = await self._http.send(
            HttpRequest(method="GET", url=file.remote_url, follow_redirects=True, max_bytes=limit)
        )
        if answer.status != 200:
            raise NotFound(f"{file.remote_url} answered {answer.status}.", hint="Check the address.")
        return answer.content

    async def save(self, data: bytes, *, filename: str, mime_type: str) -> File:
        """Keep bytes that a node or a tool made."""
        file_id = new_id()
        extension = extension_of(filename)
        key = f"tools/{self.tenant.id}/{file_id}" + (f".{extension}" if extension else "")
        row = {
            "id": file_id,
            "tenant_id": self.tenant.id,
            "user_id": _NOBODY,
            "file_key": key,
            "mimetype": mime_type,
            "original_url": None,
            "name": filename[:255],
            "size": len(data),
            "created_at": utc_now(),
        }
        await self._storage.save(key, data)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(tool_files, row))
        return File(
            id=file_id,
            tenant_id=self.tenant.id,
            type=file_type(extension, mime_type),
            transfer_method=FileTransfer.TOOL_FILE,
            related_id=file_id,
            filename=filename,
            extension=f".{extension}" if extension else "",
            mime_type=mime_type,
            size=len(data),
            url=self.signed_url(file_id, kind="tools"),
        )

    # -- links ------------------------------------------------------------------------------------------------

    def signed_url(self, file_id: str, *, kind: str = "files") -> str:
        """A link that serves the file for FILES_ACCESS_TIMEOUT seconds."""
        link = sign_link(self._secret_key, kind, self.tenant.id, file_id)
        base = (self._settings.files_url or self._settings.console_api_url).rstrip("/")
        query = urlencode({"timestamp": link.timestamp, "nonce": link.nonce, "sign": link.sign})
        return f"{base}/files/{self.tenant.id}/{file_id}/{_VIEW[kind]}?{query}"

    def verify(self, file_id: str, link: SignedLink, *, kind: str = "files") -> bool:
        """Whether a link was made by `signed_url` and is still fresh."""
        age = self._settings.files_access_timeout
        return verify_link(self._secret_key, kind, self.tenant.id, file_id, link=link, max_age=age)


_VIEW = {"files": "file-preview", "tools": "tool-preview"}


def _stated(kind: Any, found: FileType) -> FileType:
    """The kind that the caller states, unless it is custom or none at all."""
    try:
        stated = FileType(kind)
    except ValueError:
        return found
    return found if stated is FileType.CUSTOM else stated
