"""Files of messages: their rows, how the API shows them, and which of them an app has."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput
from dify_kernel.graph.values import File, FileTransfer, FileType, infer

from dify_host.apps.tables import apps
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.types import new_id
from dify_host.files.service import FileService, ToolFile, UploadFile
from dify_host.files.tables import tool_files, upload_files
from dify_host.runs.recorder import Creator
from dify_host.runs.tables import message_files, messages

__all__ = ["BelongsTo", "MessageFile", "MessageFiles", "answer_files", "message_file_rows"]

BelongsTo = Literal["user", "assistant"]


class MessageFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a message as the API shows it; `url` is signed, or the remote address; `size` -1 is unknown."""

    id: str
    filename: str
    type: str
    url: str | None
    mime_type: str | None
    size: int
    transfer_method: str
    belongs_to: str
    upload_file_id: str | None


def message_file_rows(
    files: Sequence[File], *, message_id: str, belongs_to: BelongsTo, creator: Creator, at: datetime
) -> list[dict[str, Any]]:
    """Rows of `message_files`, in the order of the files; what names neither an address nor a kept file has none."""
    rows = []
    for file in files:
        remote = file.transfer_method is FileTransfer.REMOTE_URL
        kept_id = None if remote else _id(file.related_id or file.id)
        url = file.remote_url if remote else None
        if url or kept_id:
            row: dict[str, Any] = {
                "id": new_id(),
                "message_id": message_id,
                "type": str(file.type),
                "created_by": creator.id,
            }
            row |= {"transfer_method": str(file.transfer_method), "created_by_role": creator.role, "created_at": at}
            rows.append({**row, "belongs_to": belongs_to, "url": url, "upload_file_id": kept_id})
    return rows


def answer_files(outputs: dict[str, Any]) -> list[File]:
    """The files that an answer came with."""
    listed = outputs.get("files")
    values = [infer(item).data for item in listed] if isinstance(listed, list) else []
    return [value for value in values if isinstance(value, File)]


class MessageFiles(TenantRepository):
    """The files of a workspace's messages."""

    async def shown(self, message_ids: Sequence[str], files: FileService) -> dict[str, list[MessageFile]]:
        """The files of each message in their order; those that are gone or lead nowhere are left out."""
        if not message_ids:
            return {}
        table = message_files
        mine = self.reached_through(table.c.message_id, messages.c.app_id, root=apps)
        query = (
            sa.select(table).where(table.c.message_id.in_(message_ids), mine).order_by(table.c.created_at, table.c.id)
        )
        async with self.db.read() as conn:
            rows = (await conn.execute(query.order_by(table.c.created_at, table.c.id))).all()
            kept_ids = [row.upload_file_id for row in rows if row.upload_file_id]
            uploads, made = [], []
            if kept_ids:
                uploads = (await conn.execute(self._kept(upload_files, kept_ids))).all()
                made = (await conn.execute(self._kept(tool_files, kept_ids))).all()
        values = {row.id: files.value(to_struct(row, UploadFile)) for row in uploads}
        values |= {row.id: files.tool_value(to_struct(row, ToolFile)) for row in made}
        found: dict[str, list[MessageFile]] = {}
        for row in rows:
            remote = row.transfer_method == FileTransfer.REMOTE_URL
            value = _remote(row, files) if remote else values.get(row.upload_file_id)
            if value is not None:
                found.setdefault(row.message_id, []).append(_shown(row, value))
        return found

    async def in_app(self, app_id: str, file_id: str) -> bool:
        """Whether a kept file came with a message of the app, or with an answer of it."""
        table = message_files
        query = (
            sa.select(table.c.id)
            .join(messages, messages.c.id == table.c.message_id)
            .where(table.c.upload_file_id == file_id, messages.c.app_id == app_id)
            .where(self.reached_through(messages.c.app_id, root=apps))
        )
        async with self.db.read() as conn:
            return (await conn.execute(query.limit(1))).first() is not None

    def _kept(self, table: sa.Table, ids: Sequence[str]) -> sa.Select[Any]:
        return self.scoped_select(table).where(table.c.id.in_(ids))


def _remote(row: sa.Row[Any], files: FileService) -> File | None:
    """A node may have made up the address: one that is none must not hide the message."""
    try:
        return files.remote_value(row.url, FileType(row.type))
    except BadInput:
        return None


def _shown(row: sa.Row[Any], value: File) -> MessageFile:
    return MessageFile(
        id=row.id,
        filename=value.filename or "",
        type=row.type,
        url=value.url,
        mime_type=value.mime_type,
        size=value.size,
        transfer_method=row.transfer_method,
        belongs_to=row.belongs_to or "user",
        upload_file_id=row.upload_file_id,
    )


def _id(text: str | None) -> str | None:
    """An id that a column of ids takes: a node may have made up the value that it comes from."""
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        return None
