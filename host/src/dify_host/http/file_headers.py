"""The headers of a file's bytes: what a browser would run as a page of ours is only ever downloaded."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

__all__ = ["file_headers"]

_ACTIVE: Final = ("text/html", "application/xhtml", "image/svg", "text/xml", "application/xml", "text/javascript")


def file_headers(name: str, mime_type: str | None, size: int, *, attachment: bool = False) -> dict[str, str]:
    """Length, type and disposition; `size` below 0 is unknown."""
    mime_type = mime_type or "application/octet-stream"
    headers = {"Cache-Control": "public, max-age=3600", "X-Content-Type-Options": "nosniff"}
    if size >= 0:
        headers["Content-Length"] = str(size)
    if mime_type.startswith(("audio/", "video/")):
        headers["Accept-Ranges"] = "bytes"
    if attachment or mime_type.lower().startswith(_ACTIVE):
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name)}"
        mime_type = "application/octet-stream"
    return {**headers, "Content-Type": mime_type}
