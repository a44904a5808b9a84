"""Files behind signed links: who holds a link may read that file for a while, without any other credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from litestar import get
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from dify_host.files.service import FileService
from dify_host.http.callers import Call, platform_of
from dify_host.http.file_headers import file_headers
from dify_host.net.crypto import SignedLink
from dify_host.service.shapes import IdInPath

__all__ = ["linked_tool_file", "linked_upload"]


@get("/files/{file_id:uuid}/file-preview", include_in_schema=False)
async def linked_upload(
    request: Call,
    file_id: IdInPath,
    timestamp: FromQuery[str] = "",
    nonce: FromQuery[str] = "",
    sign: FromQuery[str] = "",
    as_attachment: FromQuery[bool] = False,
) -> Stream:
    """An upload; FileAccessDenied whatever is wrong with the link."""
    link = SignedLink(timestamp=timestamp, nonce=nonce, sign=sign)
    files = await _admitted(request, str(file_id), link)
    file = await files.get(str(file_id))
    return _stream(files.stream(file), file_headers(file.name, file.mime_type, file.size, attachment=as_attachment))


@get("/files/tools/{name:str}", include_in_schema=False)
async def linked_tool_file(
    request: Call,
    name: FromPath[str],
    timestamp: FromQuery[str] = "",
    nonce: FromQuery[str] = "",
    sign: FromQuery[str] = "",
    as_attachment: FromQuery[bool] = False,
) -> Stream:
    """A file that a tool or a node made; its id is the name without the extension."""
    link = SignedLink(timestamp=timestamp, nonce=nonce, sign=sign)
    file_id = PurePosixPath(name).stem
    files = await _admitted(request, file_id, link, tools=True)
    file = await files.get_tool_file(file_id)
    return _stream(files.stream(file), file_headers(file.name, file.mimetype, file.size, attachment=as_attachment))


async def _admitted(request: Call, file_id: str, link: SignedLink, *, tools: bool = False) -> FileService:
    platform = platform_of(request)
    tenant = await platform.file_links.admit(platform.db, file_id, link, "tools" if tools else "files")
    return platform.files_of(tenant)


def _stream(pieces: AsyncIterator[bytes], headers: dict[str, str]) -> Stream:
    return Stream(pieces, headers=headers, media_type=headers["Content-Type"])
