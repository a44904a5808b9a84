"""Signed links to files: who holds one may read that file for a while, without any other credentials."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlencode

import msgspec
import sqlalchemy as sa
from dify_kernel.settings import Secret

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.files.errors import FileAccessDenied
from dify_host.files.tables import tool_files, upload_files
from dify_host.net.crypto import SignedLink, sign_link, verify_link
from dify_host.settings import HostSettings

__all__ = ["FileLinks", "LinkKind"]

#: `files`: /files/<id>/file-preview, an upload. `tools`: /files/tools/<id><extension>, what a tool or node made.
LinkKind = Literal["files", "tools"]
_LONGEST_STAMP: Final = 12  # digits


class FileLinks:
    """Makes and checks links. `FILES_URL` is their base; without any base they are relative to the site.

    The workspace is part of what is signed: a link that was made for an id of somebody else leads nowhere.
    """

    def __init__(self, settings: HostSettings, secret_key: str) -> None:
        self._base = (settings.files_url or settings.console_api_url).rstrip("/")
        self._max_age = settings.files_access_timeout
        self._secret = Secret(secret_key)

    def url(self, tenant: Tenant, file_id: str, kind: LinkKind = "files", *, extension: str = "") -> str:
        """A link that is valid for FILES_ACCESS_TIMEOUT seconds; `extension` (with its dot) ends a tool file's path."""
        link = sign_link(self._secret.reveal(), kind, tenant.id, file_id)
        path = f"/files/tools/{file_id}{extension}" if kind == "tools" else f"/files/{file_id}/file-preview"
        return f"{self._base}{path}?{urlencode(msgspec.structs.asdict(link))}"

    def verify(self, tenant: Tenant, file_id: str, link: SignedLink, kind: LinkKind = "files") -> bool:
        """Whether the link was made for this file of this workspace, and has not ended."""
        stamp = link.timestamp
        if not stamp.isascii() or not stamp.isdigit() or len(stamp) > _LONGEST_STAMP:
            return False
        parts = (kind, tenant.id, file_id)
        return verify_link(self._secret.reveal(), *parts, link=link, max_age=self._max_age)

    async def admit(self, db: Database, file_id: str, link: SignedLink, kind: LinkKind = "files") -> Tenant:
        """The workspace of the file that a valid link leads to; FileAccessDenied whatever is wrong with the link."""
        table = tool_files if kind == "tools" else upload_files
        async with db.read() as conn:
            row = (await conn.execute(sa.select(table.c.tenant_id).where(table.c.id == file_id))).first()
        if row is None or not self.verify(Tenant(row.tenant_id), file_id, link, kind):
            raise FileAccessDenied("The link is not valid, or no longer.", hint="Ask for a new one.", file=file_id)
        return Tenant(row.tenant_id)
