"""Files of a workspace: uploads checked and kept, request files resolved, the bytes behind file values."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec
from dify_kernel.contracts.http import HttpClient, HttpRequest
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, NotFound, ObjectNotFound
from dify_kernel.graph.values import File, FileTransfer, FileType

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.files.errors import FileNotFound
from dify_host.files.kinds import check_upload, clean_name, extension_of, file_type, guess_type, object_name
from dify_host.files.links import FileLinks, LinkKind
from dify_host.files.tables import tool_files, upload_files
from dify_host.net.crypto import SignedLink
from dify_host.settings import HostSettings

__all__ = ["FileService", "ToolFile", "UploadFile"]

_MB: Final = 1024 * 1024
_HASH_IN_PLACE: Final = 256 * 1024  # bytes; more is hashed in a thread
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"  # owner of what a run makes without a known user


class UploadFile(msgspec.Struct, frozen=True, kw_only=True):
    """One upload; `extension` has no dot."""

    id: str
    tenant_id: str
    storage_type: str
    key: str
    name: str
    size: int
    extension: str
    mime_type: str | None = None
    created_by_role: str
    created_by: str
    created_at: datetime
    used: bool = False
    hash: str | None = None
    source_url: str | None = None


class ToolFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a tool or a node made."""

    id: str
    tenant_id: str
    user_id: str
    conversation_id: str | None = None
    file_key: str
    mimetype: str
    original_url: str | None = None
    name: str = ""
    size: int = -1
    created_at: datetime


class FileService(TenantRepository):
    """The files of one workspace, and the FilesPort of its runs.

    The object is written before its row: an object without a row is harmless, a row without its object is not.
    """

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        storage: Storage,
        settings: HostSettings,
        *,
        secret_key: str,
        http: HttpClient | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
    ) -> None:
        super().__init__(db, tenant)
        self._storage = storage
        self._settings = settings
        self._http = http
        self._user_id = user_id or _NOBODY
        self._conversation_id = conversation_id
        self.links = FileLinks(settings, secret_key)

    # -- uploads

    async def upload(
        self,
        data: bytes,
        filename: str | None,
        mime_type: str | None = None,
        *,
        created_by_role: Literal["account", "end_user"],
        created_by: str,
    ) -> UploadFile:
        """Check and keep an upload.

        Raises FilenameNotExists, BadInput (name, blacklist), FileTooLarge, UnsupportedFileType (a disguised program).
        """
        name = clean_name(filename)
        media, extension = guess_type(name, mime_type), extension_of(name)
        check_upload(data, name, self._settings, media)
        file_id = new_id()
        key = f"upload_files/{self.tenant.id}/{object_name(file_id, extension)}"
        row: dict[str, Any] = {
            "id": file_id,
            "storage_type": self._settings.storage_type,
            "key": key,
            "name": name,
            "size": len(data),
            "extension": extension,
            "mime_type": media,
            "created_by_role": created_by_role,
            "created_by": created_by,
            "created_at": utc_now(),
            "hash": await _digest(data),
        }
        await self._storage.save(key, data)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(upload_files, row))
        return UploadFile(tenant_id=self.tenant.id, **row)

    async def get(self, file_id: str) -> UploadFile:
        """One upload; FileNotFound."""
        async with self.db.read() as conn:
            row = (await conn.execute(self.scoped_select(upload_files).where(upload_files.c.id == file_id))).first()
        if row is None:
            raise _gone(file_id)
        return to_struct(row, UploadFile)

    async def get_tool_file(self, file_id: str) -> ToolFile:
        """One file that a tool or a node made; FileNotFound."""
        async with self.db.read() as conn:
            row = (await conn.execute(self.scoped_select(tool_files).where(tool_files.c.id == file_id))).first()
        if row is None:
            raise _gone(file_id)
        return to_struct(row, ToolFile)

    async def find(self, file_id: str) -> UploadFile | ToolFile:
        """One upload, or one file that a tool or a node made; FileNotFound."""
        try:
            return await self.get(file_id)
        except FileNotFound:
            return await self.get_tool_file(file_id)

    async def open(self, file_id: str) -> bytes:
        """The bytes of an upload; FileNotFound."""
        return await self._read((await self.get(file_id)).key, file_id)

    async def stream(self, file: UploadFile | ToolFile) -> AsyncIterator[bytes]:
        """The bytes piece by piece; FileNotFound at the first piece."""
        try:
            async for piece in self._storage.stream(file.key if isinstance(file, UploadFile) else file.file_key):
                yield piece
        except ObjectNotFound as exc:
            raise _gone(file.id) from exc

    # -- request files

    async def resolve(self, mapping: Mapping[str, Any]) -> File:
        """The file value of a request's file object; BadInput for a missing upload, a bad address or an unknown type.

        `transfer_method` is `remote_url` with `url`, `local_file` with `upload_file_id`, or `tool_file` with
        `tool_file_id`; a stored value's `related_id` does as well.
        """
        method, given = mapping.get("transfer_method"), mapping.get("type")
        if given is not None and given not in set(FileType):
            raise BadInput(
                f"{given!r} is not a type of file.", hint=f"Use one of: {', '.join(FileType)}.", field="type"
            )
        # A caller who says `custom` says nothing: the kind is told from the file.
        kind = FileType(given) if given and given != FileType.CUSTOM else None
        if method == FileTransfer.REMOTE_URL:
            return self.remote_value(mapping.get("url") or mapping.get("remote_url"), kind)
        wanted = {FileTransfer.LOCAL_FILE: "upload_file_id", FileTransfer.TOOL_FILE: "tool_file_id"}
        if method not in wanted:
            raise BadInput(
                f"transfer_method is {method!r}.", hint="Use remote_url or local_file.", field="transfer_method"
            )
        field = wanted[FileTransfer(method)]
        file_id = mapping.get(field) or mapping.get("related_id")
        if not isinstance(file_id, str) or not file_id:
            raise BadInput(f"{field} is required for {method}.", field=field)
        try:
            if method == FileTransfer.LOCAL_FILE:
                return self.value(await self.get(file_id), kind)
            return self.tool_value(await self.get_tool_file(file_id), kind)
        except NotFound as exc:
            raise BadInput(f"There is no file {file_id}.", hint="Upload it first.", field=field) from exc

    async def resolve_all(self, mappings: Sequence[Mapping[str, Any]]) -> list[File]:
        """The files of a request; objects without `transfer_method` and remote ones without `url` are left out."""
        return [await self.resolve(mapping) for mapping in mappings if _is_meant(mapping)]

    def value(self, file: UploadFile, kind: FileType | None = None) -> File:
        """An upload as a value, with a signed link; what names it is `related_id`."""
        return File(
            tenant_id=self.tenant.id,
            type=kind or file_type(file.extension, file.mime_type or ""),
            transfer_method=FileTransfer.LOCAL_FILE,
            related_id=file.id,
            filename=file.name,
            extension=_dotted(file.extension),
            mime_type=file.mime_type,
            size=file.size,
            url=self.signed_url(file.id),
        )

    def tool_value(self, file: ToolFile, kind: FileType | None = None) -> File:
        """A tool's file as a value, with a signed link."""
        extension = extension_of(file.name)
        return File(
            id=file.id,
            tenant_id=self.tenant.id,
            type=kind or file_type(extension, file.mimetype),
            transfer_method=FileTransfer.TOOL_FILE,
            related_id=file.id,
            filename=file.name,
            extension=_dotted(extension),
            mime_type=file.mimetype,
            size=file.size,
            url=self.links.url(self.tenant, file.id, "tools", extension=_dotted(extension) or ".bin"),
        )

    def remote_value(self, url: Any, kind: FileType | None = None) -> File:
        """A remote file as a value, named by its address; BadInput for what is no web address."""
        if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
            raise BadInput("The address of a remote file must start with http.", field="url")
        try:
            name = unquote(urlsplit(url).path).rpartition("/")[2]
        except ValueError as exc:
            raise BadInput(f"The address of a remote file is not a URL: {exc}.", field="url") from exc
        extension, media = extension_of(name), guess_type(name, None)
        return File(
            tenant_id=self.tenant.id,
            type=kind or file_type(extension, media),
            transfer_method=FileTransfer.REMOTE_URL,
            remote_url=url,
            filename=name or "file",
            extension=_dotted(extension),
            mime_type=media,
            url=url,
        )

    # -- FilesPort

    async def load(self, file: File) -> bytes:
        """The content behind a value, whatever it says of its workspace; FileNotFound when it is gone."""
        if file.transfer_method is FileTransfer.REMOTE_URL:
            return await self._fetch(file)
        file_id = file.related_id or file.id or ""
        if not file_id:
            raise FileNotFound("The file value names no file.", hint="Send upload_file_id.")
        if file.transfer_method is FileTransfer.TOOL_FILE:
            return await self._read((await self.get_tool_file(file_id)).file_key, file_id)
        return await self.open(file_id)

    async def save(self, data: bytes, *, filename: str, mime_type: str) -> File:
        """Keep bytes that a node made, as a tool file."""
        name = _plain_name(filename)
        extension, file_id = extension_of(name), new_id()
        key = f"tools/{self.tenant.id}/{object_name(file_id, extension)}"
        row: dict[str, Any] = {
            "id": file_id,
            "user_id": self._user_id,
            "conversation_id": self._conversation_id,
            "file_key": key,
            "mimetype": guess_type(name, mime_type),
            "name": name,
            "size": len(data),
            "created_at": utc_now(),
        }
        await self._storage.save(key, data)
        async with self.db.write() as conn:
            await conn.execute(self.scoped_insert(tool_files, row))
        return self.tool_value(ToolFile(tenant_id=self.tenant.id, **row))

    # -- links

    def signed_url(self, file_id: str, *, kind: LinkKind = "files") -> str:
        """A link that serves a file of this workspace for FILES_ACCESS_TIMEOUT seconds; for any other id, nothing."""
        return self.links.url(self.tenant, file_id, kind)

    def verify(self, file_id: str, link: SignedLink, *, kind: LinkKind = "files") -> bool:
        """Whether a link was made for this file of this workspace, and has not ended."""
        return self.links.verify(self.tenant, file_id, link, kind)

    # -- inside

    async def _read(self, key: str, file_id: str) -> bytes:
        try:
            return await self._storage.load(key)
        except ObjectNotFound as exc:
            raise _gone(file_id) from exc

    async def _fetch(self, file: File) -> bytes:
        url = file.remote_url or file.url or ""
        if self._http is None or not url:
            raise FileNotFound("The remote file cannot be read from here.", hint="Upload it instead.")
        limit = max(
            self._settings.upload_file_size_limit,
            self._settings.upload_image_file_size_limit,
            self._settings.upload_video_file_size_limit,
            self._settings.upload_audio_file_size_limit,
        )
        request = HttpRequest(method="GET", url=url, follow_redirects=True, max_bytes=limit * _MB)
        answer = await self._http.send(request)
        if answer.status != 200:
            raise FileNotFound(f"The remote file cannot be read: its server answered {answer.status}.")
        return answer.content


async def _digest(data: bytes) -> str:
    if len(data) <= _HASH_IN_PLACE:
        return hashlib.sha256(data).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())


def _plain_name(filename: str) -> str:
    """A name that a node gave, without what a name cannot hold."""
    kept = "".join(char if char not in '/\\:*?"<>|' and char.isprintable() else "_" for char in filename).strip()
    return clean_name(kept) if kept else "file"


def _dotted(extension: str) -> str:
    return f".{extension}" if extension else ""


def _is_meant(mapping: Mapping[str, Any]) -> bool:
    method = mapping.get("transfer_method")
    remote = mapping.get("url") or mapping.get("remote_url")
    return bool(method) and (method != FileTransfer.REMOTE_URL or bool(remote))


def _gone(file_id: str) -> FileNotFound:
    return FileNotFound("File not found.", file=file_id)
