"""Files of drives, brought here whole: as large as an upload may be, and no larger."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.datasource import OnlineDrive
from dify_kernel.errors import DatasourceError

__all__ = ["DriveContent", "bring"]


class DriveContent(msgspec.Struct, frozen=True, kw_only=True):
    """A file with its bytes; `version` as the drive tells it."""

    name: str
    mime_type: str
    data: bytes
    version: str


async def bring(
    drive: OnlineDrive, file_id: str, credentials: Any, *, bucket: str = "", most_bytes: int
) -> DriveContent:
    """Read a file; DatasourceError for one that is larger, as soon as that is known."""
    async with drive.download(file_id, credentials, bucket=bucket) as file:
        data = bytearray()
        if (file.size or 0) > most_bytes:
            raise _too_large(file.name, most_bytes)
        async for piece in file.chunks:
            data += piece
            if len(data) > most_bytes:
                raise _too_large(file.name, most_bytes)
        return DriveContent(name=file.name, mime_type=file.mime_type, data=bytes(data), version=file.version)


def _too_large(name: str, most_bytes: int) -> DatasourceError:
    return DatasourceError(
        f"{name} is larger than {most_bytes // 1024 // 1024} MB.",
        hint="Raise UPLOAD_FILE_SIZE_LIMIT, or take a smaller file.",
    )
