"""What of files the console asks before it uploads one."""

from __future__ import annotations

from typing import Any

from litestar import Controller, get

from dify_host.http.callers import Call, platform_of
from dify_host.http.console_callers import MEMBERS, ConsoleAccount

__all__ = ["FileFactController"]


class FileFactController(Controller):
    """Facts about files."""

    path = "/files"
    opt = MEMBERS

    @get("/support-type")
    async def readable(self, caller: ConsoleAccount, request: Call) -> dict[str, Any]:
        """The extensions that knowledge bases can read here, without the dot."""
        return {"allowed_extensions": list(platform_of(request).documents.extensions)}
